// Copies from global to shared memory that go on while the threads compute, and the tensor cores' instruction.
//
// Both exist from compute capability 8.0 on. Before that a copy is a load and a store, and nothing launches `Tensor` but
// for `Half`, which the tensor cores of 7.5 multiply too.
#pragma once

#include "common.cuh"

// COUNT numbers to shared[i] and the cells behind it, zeros where nothing is `inside`. They are there after
// `wait_for_copies`, for the thread that asked, and after a barrier for all.
template <int COUNT, class T, int N>
__device__ __forceinline__ void copy_async(Shared<T, N>& shared, int i, const T* from, bool inside) {
    HOST_CHECK(!inside || reinterpret_cast<uintptr_t>(from) % (COUNT * sizeof(T)) == 0, "a copy that is not aligned");
#if defined(CUDA_ON_HOST)
    shared.arrive(i, inside ? from : nullptr, COUNT);
#elif __CUDA_ARCH__ >= 800
    constexpr int BYTES = COUNT * sizeof(T);
    if constexpr (BYTES < 4) {  // too little for a copy of its own
        shared[i] = inside ? *from : (T)0;
        return;
    }
    uint32 to = (uint32)__cvta_generic_to_shared(&shared[i]);
    int bytes = inside ? BYTES : 0;  // what is not copied is zero
    if (BYTES == 16) {
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes) : "memory");
    } else {
        asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(to), "l"(from), "n"(BYTES), "r"(bytes)
                     : "memory");
    }
#else
    for (int c = 0; c < COUNT; ++c) shared[i + c] = inside ? from[c] : (T)0;
#endif
}

// The copies asked for since the last call belong together.
__device__ __forceinline__ void commit_copies() {
#if defined(CUDA_ON_HOST)
    host_commit();
#elif __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Until all groups of this thread's copies but the last PENDING have arrived.
template <int PENDING>
__device__ __forceinline__ void wait_for_copies() {
#if defined(CUDA_ON_HOST)
    host_wait(PENDING);
#elif __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
#endif
}

// The nearest number with TF32's 10 bits of mantissa.
__device__ __forceinline__ float to_tf32(float x) {
#if defined(CUDA_ON_HOST)
    return host_tf32(x);
#elif __CUDA_ARCH__ >= 800
    uint32 rounded;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(x));
    return __uint_as_float(rounded);
#else
    return x;
#endif
}

// d += a b for a 16x8 and an 8x8 matrix of TF32 that lie spread over a warp. With g = lane / 4 and t = lane % 4 a lane
// holds a[g][t], a[g+8][t], a[g][t+4], a[g+8][t+4]; b[t][g], b[t+4][g]; d[g][2t], d[g][2t+1], d[g+8][2t], d[g+8][2t+1].
__device__ __forceinline__ void multiply_fragments(float (&d)[4], const float (&a)[4], const float (&b)[2]) {
#if defined(CUDA_ON_HOST)
    host_mma(d, a, b);
#elif __CUDA_ARCH__ >= 800
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(__float_as_uint(a[0])), "r"(__float_as_uint(a[1])), "r"(__float_as_uint(a[2])),
          "r"(__float_as_uint(a[3])), "r"(__float_as_uint(b[0])), "r"(__float_as_uint(b[1])));
#endif
}

// Two numbers of 16 bits that follow one another along k, the first in the lower half of the word.
template <class T>
struct Pair {
    uint32 word;
};

// The same for a 16x16 and a 16x8 matrix of pairs: in the place of what stood at t above stand k = 2t and 2t+1, and in
// the place of t+4 eight more.
#define MULTIPLY_PAIRS(TYPE)                                                                                          \
    asm volatile(                                                                                                     \
        "mma.sync.aligned.m16n8k16.row.col.f32." TYPE "." TYPE ".f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "  \
        "{%0, %1, %2, %3};"                                                                                           \
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                                                              \
        : "r"(a[0].word), "r"(a[1].word), "r"(a[2].word), "r"(a[3].word), "r"(b[0].word), "r"(b[1].word))

__device__ __forceinline__ void multiply_fragments(float (&d)[4], const Pair<Half> (&a)[4], const Pair<Half> (&b)[2]) {
#if defined(CUDA_ON_HOST)
    host_mma(d, a, b);
#elif __CUDA_ARCH__ >= 800
    MULTIPLY_PAIRS("f16");
#elif __CUDA_ARCH__ >= 750
    for (int part = 0; part < 2; ++part) {  // eight k at a time
        asm volatile(
            "mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
            : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
            : "r"(a[2 * part].word), "r"(a[2 * part + 1].word), "r"(b[part].word));
    }
#endif
}

__device__ __forceinline__ void multiply_fragments(
    float (&d)[4], const Pair<BFloat> (&a)[4], const Pair<BFloat> (&b)[2]
) {
#if defined(CUDA_ON_HOST)
    host_mma(d, a, b);
#elif __CUDA_ARCH__ >= 800
    MULTIPLY_PAIRS("bf16");
#endif
}
#undef MULTIPLY_PAIRS
