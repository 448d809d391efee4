// What every kernel uses: names of types, division by what never changes, memory that a block shares.
#pragma once

typedef long long int64;
typedef unsigned int uint32;
typedef unsigned long long uint64;

// The tests compile these sources for the host too, with a header that checks what it can; a device checks nothing.
#ifndef HOST_CHECK
#define HOST_CHECK(holds, what)
#endif

#ifndef CUDA_ON_HOST
// A number of 16 bits (IEEE 754's binary16). It is only kept in memory: all arithmetic is float.
struct Half {
    unsigned short bits;
    Half() = default;
    __device__ __forceinline__ Half(float x) { asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x)); }
    __device__ __forceinline__ operator float() const {
        float x;
        asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
        return x;
    }
};

// N numbers that the threads of a block share. To be declared where all threads pass, with __shared__.
template <class T, int N>
struct alignas(16) Shared {
    T cells[N];
    __device__ __forceinline__ T& operator[](int i) { return cells[i]; }
    __device__ __forceinline__ const T& operator[](int i) const { return cells[i]; }
    // Four numbers from i on, a multiple of four.
    __device__ __forceinline__ T* four(int i) { return cells + i; }
    // The same memory, when its content is not needed any more, for no more bytes of other numbers.
    template <class Other, int COUNT>
    __device__ __forceinline__ Shared<Other, COUNT>& as() {
        static_assert(COUNT * sizeof(Other) <= N * sizeof(T), "as much memory as there is");
        return reinterpret_cast<Shared<Other, COUNT>&>(*this);
    }
};
#endif

// The upper 16 bits of a float, rounded to the nearest, ties to even (bfloat16). It, too, is only kept in memory.
struct BFloat {
    unsigned short bits;
    BFloat() = default;
    __device__ __forceinline__ BFloat(float x) {
#if __CUDA_ARCH__ >= 800
        asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(x));
#else
        uint32 word = __float_as_uint(x);
        bits = (unsigned short)(x != x ? 0x7FFF : (word + 0x7FFF + (word >> 16 & 1)) >> 16);
#endif
    }
    __device__ __forceinline__ operator float() const { return __uint_as_float((uint32)bits << 16); }
};

// What a kernel computes in where memory holds T.
template <class T>
struct Computed {
    typedef T Type;
};
template <>
struct Computed<Half> {
    typedef float Type;
};
template <>
struct Computed<BFloat> {
    typedef float Type;
};
template <class T>
using Wide = typename Computed<T>::Type;

template <class T>
struct IsHalf {
    static constexpr bool value = false;
};
template <>
struct IsHalf<Half> {
    static constexpr bool value = true;
};

// N numbers in a row, read and written at once: 16 bytes by one instruction, and the most that needs to begin anywhere.
template <class T, int N>
struct alignas(N * sizeof(T) < 16 ? N * sizeof(T) : 16) Several {
    T cells[N];
};

// Numbers i N, i N + 1 and so on of an array.
template <int N, class T>
__device__ __forceinline__ void load(Wide<T> (&to)[N], const T* from, int64 i = 0) {
    typedef Several<T, N> Piece;
    HOST_CHECK(reinterpret_cast<uintptr_t>(from) % alignof(Piece) == 0, "an array that does not begin with a piece");
    HOST_CHECK(host_holds(reinterpret_cast<const Piece*>(from) + i, sizeof(Piece)), "a read beside an array");
    Piece piece = reinterpret_cast<const Piece*>(from)[i];
    for (int k = 0; k < N; ++k) to[k] = piece.cells[k];
}

template <int N, class T>
__device__ __forceinline__ void store(T* to, int64 i, const Wide<T> (&values)[N]) {
    typedef Several<T, N> Piece;
    HOST_CHECK(reinterpret_cast<uintptr_t>(to) % alignof(Piece) == 0, "an array that does not begin with a piece");
    Piece piece;
    for (int k = 0; k < N; ++k) piece.cells[k] = values[k];
    reinterpret_cast<Piece*>(to)[i] = piece;
}

// A number that the host knows when it launches a kernel, or one that it writes to `place` before a replay.
template <class T>
struct Number {
    T value;
    const T* place;
    __device__ __forceinline__ T get() const { return place ? *place : value; }
};

// Divides by a number that is known before the launch: a multiplication in place of some thirty instructions.
// (Granlund and Montgomery, "Division by invariant integers using multiplication", 1994.) For 0 <= n < 2**31.
struct Divider {
    uint32 divisor, magic, shift;
    __device__ __forceinline__ int divide(int n) const {
        return (int)((__umulhi((uint32)n, magic) + (uint32)n) >> shift);
    }
    // n becomes the quotient, and the remainder is given.
    __device__ __forceinline__ int split(int& n) const {
        int quotient = divide(n), remainder = n - quotient * (int)divisor;
        n = quotient;
        return remainder;
    }
};

// The first element of this thread, and from each to its next, where threads walk through an array together.
__device__ __forceinline__ int64 first_element() { return (int64)blockIdx.x * blockDim.x + threadIdx.x; }
__device__ __forceinline__ int64 element_step() { return (int64)gridDim.x * blockDim.x; }

__device__ __forceinline__ float exponential(float x) { return expf(x); }
__device__ __forceinline__ double exponential(double x) { return exp(x); }
__device__ __forceinline__ float exponential_less_one(float x) { return expm1f(x); }
__device__ __forceinline__ double exponential_less_one(double x) { return expm1(x); }
__device__ __forceinline__ float logarithm(float x) { return logf(x); }
__device__ __forceinline__ double logarithm(double x) { return log(x); }
__device__ __forceinline__ float square_root(float x) { return sqrtf(x); }
__device__ __forceinline__ double square_root(double x) { return sqrt(x); }
__device__ __forceinline__ float error_function(float x) { return erff(x); }
__device__ __forceinline__ double error_function(double x) { return erf(x); }
__device__ __forceinline__ float hyperbolic_tangent(float x) { return tanhf(x); }
__device__ __forceinline__ double hyperbolic_tangent(double x) { return tanh(x); }

template <class T>
__device__ __forceinline__ T minus_infinity() {
    return (T)-1 / (T)0;
}

// Whether a cell wins over the best of the cells before it: the first of equal ones does, and so does the first NaN.
template <class T>
__device__ __forceinline__ bool wins(T value, T best) {
    return value > best || (value != value && best == best);
}
