// What the tensor cores multiply, and how it comes out of shared memory.
//
// A lane hands them words of 32 bits: a float, of which they read the upper 19 bits (TF32), or two numbers of 16 bits
// that follow one another along k, the first in the lower half. TF32 and bfloat16 exist from compute capability 8.0 on,
// and nothing launches `Tensor` for them before that.
#pragma once

#include "common.cuh"

// Numbers to a word, and to 16 bytes.
template <class T>
constexpr int PER_WORD = 4 / sizeof(T);
template <class T>
constexpr int PER_LINE = 16 / sizeof(T);

// The tensor cores cut off a float's last 13 bits: on the average, half of what the last bit that stays is worth. This
// factor adds as much on the average (where mantissas' logarithms are spread evenly, the mantissas' mean is 1 / ln 2).
// It takes one instruction where rounding to the nearest with care for NaN takes three, and a float that is TF32 already
// stays what it is.
constexpr float MAKES_UP = 1 + 0.693147181f / 2048;

template <class T>
__device__ __forceinline__ uint32 operand(uint32 word) {
    return word;
}
template <>
__device__ __forceinline__ uint32 operand<float>(uint32 word) {
    return __float_as_uint(__uint_as_float(word) * MAKES_UP);
}

// Four matrices of eight lines of 16 bytes each: line l % 8 of matrix l / 8 begins at shared[line(l)]. A lane is given
// of each matrix word lane % 4 of line lane / 4; of the transposed matrix, where numbers have 16 bits, that pair.
template <bool TRANSPOSED, class T, int N, class Line>
__device__ __forceinline__ void read_matrices(uint32 (&words)[4], const Shared<T, N>& shared, const Line& line) {
#if defined(CUDA_ON_HOST)
    host_read_matrices<TRANSPOSED>(words, shared, line);
#elif __CUDA_ARCH__ >= 750
    uint32 from = (uint32)__cvta_generic_to_shared(&shared[line(threadIdx.x % 32)]);
    if (TRANSPOSED) {
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3]) : "r"(from) : "memory");
    } else {
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3]) : "r"(from) : "memory");
    }
#endif
}

// The words of 16 rows (or columns) from `outer` on at the next eight words along k: four quarters, each of eight outers
// and four words. The halves of the outers come one after the other for LEFT, a's order, and those along k for b's.
template <class Tile, bool LEFT, class T, int N>
__device__ __forceinline__ void read_fragments(
    uint32 (&words)[4], const Shared<T, N>& shared, int first, int outer, int k
) {
    if constexpr (Tile::ALONG_K || sizeof(T) < 4) {
        read_matrices<!Tile::ALONG_K>(words, shared, [=](int lane) {
            int quarter = lane / 8, half = LEFT ? quarter % 2 : quarter / 2, part = LEFT ? quarter / 2 : quarter % 2;
            int along = lane % 8, o = outer + half * 8, at_k = k + part * PER_LINE<T>;
            return first + (Tile::ALONG_K ? Tile::at(o + along, at_k) : Tile::at(o, at_k + along));
        });
    } else {
        int group = (int)threadIdx.x % 32 / 4, member = (int)threadIdx.x % 4;
#pragma unroll
        for (int quarter = 0; quarter < 4; ++quarter) {
            int half = LEFT ? quarter % 2 : quarter / 2, part = LEFT ? quarter / 2 : quarter % 2;
            words[quarter] = __float_as_uint(shared[first + Tile::at(outer + half * 8 + group, k + part * 4 + member)]);
        }
    }
#pragma unroll
    for (int quarter = 0; quarter < 4; ++quarter) words[quarter] = operand<T>(words[quarter]);
}

#define MULTIPLY(SHAPE, TYPE)                                                                                         \
    asm volatile("mma.sync.aligned." SHAPE ".row.col.f32." TYPE "." TYPE                                              \
                 ".f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"                               \
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                                                     \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]))

// d += a b for 16 rows and 8 columns that lie spread over a warp, and eight words along k. With g = lane / 4 and
// t = lane % 4 a lane holds the words a[g][t], a[g+8][t], a[g][t+4], a[g+8][t+4]; b[t][g], b[t+4][g]; and the sums
// d[g][2t], d[g][2t+1], d[g+8][2t], d[g+8][2t+1].
template <class T>
__device__ __forceinline__ void multiply_fragments(float (&d)[4], const uint32 (&a)[4], const uint32* b) {
#if defined(CUDA_ON_HOST)
    host_mma<T>(d, a, b);
#elif __CUDA_ARCH__ >= 800
    if constexpr (sizeof(T) == 4) MULTIPLY("m16n8k8", "tf32");
    else if constexpr (IsHalf<T>::value) MULTIPLY("m16n8k16", "f16");
    else MULTIPLY("m16n8k16", "bf16");
#elif __CUDA_ARCH__ >= 750
    if constexpr (IsHalf<T>::value) {
        for (int part = 0; part < 2; ++part) {  // eight k at a time
            asm volatile(
                "mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
                : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                : "r"(a[2 * part]), "r"(a[2 * part + 1]), "r"(b[part]));
        }
    }
#endif
}
#undef MULTIPLY
