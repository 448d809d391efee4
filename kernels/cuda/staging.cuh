// Copies from global to shared memory that go on while the threads compute. They exist from compute capability 8.0 on;
// before that a copy is a load and a store.
#pragma once

#include "common.cuh"

// COUNT numbers to shared[i] and the cells behind it, zeros where nothing is `inside`. They are there after
// `wait_for_copies`, for the thread that asked, and after a barrier for all.
template <int COUNT, class T, int N>
__device__ __forceinline__ void copy_async(Shared<T, N>& shared, int i, const T* from, bool inside) {
    HOST_CHECK(!inside || reinterpret_cast<uintptr_t>(from) % (COUNT * sizeof(T)) == 0, "a copy that is not aligned");
    HOST_CHECK(!inside || host_holds(from, COUNT * sizeof(T)), "a read beside an array");
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
    // Through the first cache: the windows of a convolution share most of their numbers.
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(to), "l"(from), "n"(BYTES), "r"(bytes)
                 : "memory");
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
