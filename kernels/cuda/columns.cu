// Sums over the rows of a matrix, and batch normalisation, which is made of them.
//
// A block sums BLOCK_ROWS rows of 32 columns: neighbouring threads read neighbouring columns, and the sums of the
// LINES threads to a column meet in shared memory in a fixed order. The sums of blocks are rows of a smaller matrix, to
// be summed by the next launch, until one row is left: no atomics, the same bits every time, and rounding that grows
// with the logarithm of the number of rows.
#include "common.cuh"

constexpr int COLUMNS = 32;
constexpr int LINES = 8;
constexpr int BLOCK_ROWS = 256;

struct Itself {
    template <class T>
    static __device__ __forceinline__ Wide<T> term(const T* x, const T*, const Wide<T>*, int64 i, int) {
        return x[i];
    }
};

struct SquaredDistance {
    template <class T>
    static __device__ __forceinline__ Wide<T> term(const T* x, const T*, const Wide<T>* mean, int64 i, int column) {
        Wide<T> distance = x[i] - mean[column];
        return distance * distance;
    }
};

struct TimesDistance {
    template <class T>
    static __device__ __forceinline__ Wide<T> term(
        const T* x, const T* factor, const Wide<T>* mean, int64 i, int column
    ) {
        return factor[i] * (x[i] - mean[column]);
    }
};

template <class T, class Term>
__global__ void sum_columns(
    const T* x, const T* factor, const Wide<T>* mean, Wide<T>* sums, int rows, int columns
) {
    __shared__ Shared<Wide<T>, COLUMNS * LINES> partial;
    int column = blockIdx.y * COLUMNS + threadIdx.x;
    int first = blockIdx.x * BLOCK_ROWS, last = min(first + BLOCK_ROWS, rows);
    Wide<T> sum = 0;
    if (column < columns) {
        for (int row = first + threadIdx.y; row < last; row += LINES) {
            sum += Term::term(x, factor, mean, (int64)row * columns + column, column);
        }
    }
    partial[threadIdx.y * COLUMNS + threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y || column >= columns) return;
    for (int line = 1; line < LINES; ++line) sum += partial[line * COLUMNS + threadIdx.x];
    sums[(int64)blockIdx.x * columns + column] = sum;
}

template <class T>
__global__ void normalize(
    const T* x, const Wide<T>* mean, const Wide<T>* scale, const Wide<T>* shift, T* y, int count, Divider columns
) {
    for (int i = first_element(); i < count; i += element_step()) {
        int row = i, c = columns.split(row);
        y[i] = (x[i] - mean[c]) * scale[c] + shift[c];
    }
}

template <class T>
__global__ void normalize_gradient(
    const T* gy, const T* x, const Wide<T>* mean, const Wide<T>* by_gy, const Wide<T>* by_x, const Wide<T>* constant,
    T* gx, int count, Divider columns
) {
    for (int i = first_element(); i < count; i += element_step()) {
        int row = i, c = columns.split(row);
        gx[i] = gy[i] * by_gy[c] + ((x[i] - mean[c]) * by_x[c] + constant[c]);
    }
}
