// Sums over the rows of a matrix, and batch normalisation, which is made of them.
//
// A block has THREADS threads, so many beside one another that they span the columns, or a part of them, at N columns
// each; the others stand in lines below, and each line takes its share of the block's rows. Neighbouring threads read
// neighbouring columns; the sums of the lines meet in shared memory in a fixed order. The sums of blocks are rows of a
// smaller matrix, to be summed by the next launch, until one row is left: no atomics, the same bits every time.
#include "common.cuh"

constexpr int THREADS = 256;
// Rows of a thread that are read before the first of them is added: one after the other they would wait for memory.
constexpr int AHEAD = 4;

struct Itself {
    template <class T>
    static __device__ __forceinline__ T term(T x, T, T) {
        return x;
    }
};

struct SquaredDistance {
    template <class T>
    static __device__ __forceinline__ T term(T x, T, T mean) {
        return (x - mean) * (x - mean);
    }
};

struct TimesDistance {
    template <class T>
    static __device__ __forceinline__ T term(T x, T factor, T mean) {
        return factor * (x - mean);
    }
};

// `columns` counts N as one. A thread adds its rows to AHEAD sums in turn.
template <class T, class Term, int N>
__global__ void sum_columns(
    const T* x, const T* factor, const Wide<T>* mean, Wide<T>* sums, int rows, int columns, int block_rows
) {
    __shared__ Shared<Wide<T>, THREADS * N> partial;
    int column = blockIdx.x * blockDim.x + threadIdx.x;
    int line = threadIdx.y, lines = blockDim.y, thread = line * blockDim.x + threadIdx.x;
    int first = blockIdx.y * block_rows, last = min(first + block_rows, rows);
    Wide<T> sum[AHEAD][N] = {};
    if (column < columns) {
        Wide<T> middle[N] = {};
        if (mean) load(middle, mean, column);
        for (int row = first + line; row < last; row += AHEAD * lines) {
            Wide<T> value[AHEAD][N] = {}, other[AHEAD][N] = {};
            for (int a = 0; a < AHEAD; ++a) {
                int64 i = (int64)(row + a * lines) * columns + column;
                if (row + a * lines < last) load(value[a], x, i);
                if (row + a * lines < last && factor) load(other[a], factor, i);
            }
            for (int a = 0; a < AHEAD && row + a * lines < last; ++a) {
                for (int c = 0; c < N; ++c) sum[a][c] += Term::term(value[a][c], other[a][c], middle[c]);
            }
        }
    }
    for (int c = 0; c < N; ++c) {
        for (int a = 1; a < AHEAD; ++a) sum[0][c] += sum[a][c];
        partial[c * THREADS + thread] = sum[0][c];
    }
    for (int left = lines / 2; left; left /= 2) {
        __syncthreads();
        if (line >= left) continue;
        for (int c = 0; c < N; ++c) {
            sum[0][c] += partial[c * THREADS + thread + left * blockDim.x];
            partial[c * THREADS + thread] = sum[0][c];
        }
    }
    if (line == 0 && column < columns) store(sums, (int64)blockIdx.y * columns + column, sum[0]);
}

// `count` and `columns` count N numbers as one.
template <class T, int N>
__global__ void normalize(
    const T* x, const Wide<T>* mean, const Wide<T>* scale, const Wide<T>* shift, T* y, int count, Divider columns
) {
    for (int i = first_element(); i < count; i += element_step()) {
        int row = i, c = columns.split(row);
        Wide<T> value[N], middle[N], factor[N], term[N];
        load(value, x, i), load(middle, mean, c), load(factor, scale, c), load(term, shift, c);
        for (int k = 0; k < N; ++k) value[k] = (value[k] - middle[k]) * factor[k] + term[k];
        store(y, i, value);
    }
}

template <class T, int N>
__global__ void normalize_gradient(
    const T* gy, const T* x, const Wide<T>* mean, const Wide<T>* by_gy, const Wide<T>* by_x, const Wide<T>* constant,
    T* gx, int count, Divider columns
) {
    for (int i = first_element(); i < count; i += element_step()) {
        int row = i, c = columns.split(row);
        Wide<T> got[N], value[N], middle[N], first[N], second[N], last[N];
        load(got, gy, i), load(value, x, i), load(middle, mean, c);
        load(first, by_gy, c), load(second, by_x, c), load(last, constant, c);
        for (int k = 0; k < N; ++k) got[k] = got[k] * first[k] + ((value[k] - middle[k]) * second[k] + last[k]);
        store(gx, i, got);
    }
}
