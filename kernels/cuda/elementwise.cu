// One output for one input: nothing to share, nothing to wait for.
#include "activation.cuh"

// `count` counts N numbers as one.
template <class T, int N>
__global__ void relu(const T* x, T* y, int64 count) {
    for (int64 i = first_element(); i < count; i += element_step()) {
        Wide<T> value[N];
        load(value, x, i);
        for (int k = 0; k < N; ++k) value[k] = activate<Wide<T>>(RELU, value[k], 0);
        store(y, i, value);
    }
}

template <class T, int N>
__global__ void times_derivative(const T* gy, const T* y, T* gx, int64 count, int kind, Wide<T> alpha) {
    for (int64 i = first_element(); i < count; i += element_step()) {
        Wide<T> got[N], value[N];
        load(got, gy, i), load(value, y, i);
        for (int k = 0; k < N; ++k) got[k] = activation_gradient<Wide<T>>(kind, got[k], value[k], alpha);
        store(gx, i, got);
    }
}

template <class T>
__global__ void error_function_of(const T* x, T* y, int64 count) {
    for (int64 i = first_element(); i < count; i += element_step()) y[i] = error_function(x[i]);
}

// Philox 4x32-10: ten rounds of multiplication and exclusive or turn a counter into four random words.
// (Salmon, Moraes, Dror and Shaw 2011, section 3.3.)
__device__ __forceinline__ void philox(uint32 (&c)[4], uint32 k0, uint32 k1) {
    for (int round = 0; round < 10; ++round) {
        uint64 left = (uint64)c[0] * 0xD2511F53u, right = (uint64)c[2] * 0xCD9E8D57u;
        uint32 first = (uint32)(right >> 32) ^ c[1] ^ k0, third = (uint32)(left >> 32) ^ c[3] ^ k1;
        c[0] = first, c[1] = (uint32)right, c[2] = third, c[3] = (uint32)left;
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
}

// Each thread draws four elements at a time: one block of words.
template <class T>
__global__ void dropout_mask(T* mask, int64 count, uint64 key, Number<uint64> which, uint64 threshold, Wide<T> kept) {
    uint64 step = which.get();
    for (int64 block = first_element(); 4 * block < count; block += element_step()) {
        uint32 words[4] = {(uint32)block, (uint32)(block >> 32), (uint32)step, (uint32)(step >> 32)};
        philox(words, (uint32)key, (uint32)(key >> 32));
        Wide<T> drawn[4];
        for (int k = 0; k < 4; ++k) drawn[k] = words[k] >= threshold ? kept : (Wide<T>)0;
        if (4 * block + 4 <= count) {
            store(mask, block, drawn);
        } else {
            for (int k = 0; k < (int)(count % 4); ++k) mask[4 * block + k] = drawn[k];
        }
    }
}
