// Convolutions with few channels or filters to each of their groups, or few numbers to a window, where the tiles of a
// product would stay mostly empty: a thread makes its numbers alone. Neighbouring threads take neighbouring filters (or
// channels), so that they read the weights side by side and the picture's number from one address.
#include "activation.cuh"
#include "common.cuh"

struct Direct {
    Divider counted_rows, counted_columns, counted_depth;  // of what the threads are counted over
    int height, width, channels;                           // of x
    int output_height, output_width, filters;              // of y
    int kernel_height, kernel_width, group_channels, group_filters;
    int row_stride, column_stride, row_tap, column_tap, top, left;
    int count;  // threads that have work
};

// ABREAST numbers of y, of as many filters side by side, before bias and activation: each number of the picture is read
// once for all of them, and their weights at once.
template <class T, int ABREAST>
__device__ __forceinline__ void window_sums(
    Wide<T> (&sums)[ABREAST], const T* x, const T* w, const Direct& d, int n, int i, int j, int f
) {
    int row = i * d.row_stride - d.top, column = j * d.column_stride - d.left;
    x += (int64)n * d.height * d.width * d.channels + f / d.group_filters * d.group_channels;
    for (int a = 0; a < ABREAST; ++a) sums[a] = 0;
    for (int p = 0; p < d.kernel_height; ++p) {
        int r = row + p * d.row_tap;
        if (r < 0 || r >= d.height) continue;
        for (int q = 0; q < d.kernel_width; ++q) {
            int s = column + q * d.column_tap;
            if (s < 0 || s >= d.width) continue;
            const T* pixel = x + ((int64)r * d.width + s) * d.channels;
            const T* weights = w + (int64)(p * d.kernel_width + q) * d.group_channels * d.filters + f;
            for (int c = 0; c < d.group_channels; ++c, weights += d.filters) {
                Wide<T> number = pixel[c], abreast[4];
                if (ABREAST == 4) load<4>(abreast, weights);
                else abreast[0] = weights[0];
#pragma unroll
                for (int a = 0; a < ABREAST; ++a) sums[a] += number * abreast[a];
            }
        }
    }
}

// Convolution, bias and activation.
template <class T, int ABREAST>
__global__ void direct_forward(const T* x, const T* w, const Wide<T>* bias, T* y, Direct d, int activation, Wide<T> alpha) {
    for (int index = first_element(); index < d.count; index += element_step()) {
        int n = index, f = d.counted_depth.split(n) * ABREAST;
        int j = d.counted_columns.split(n), i = d.counted_rows.split(n);
        Wide<T> sums[ABREAST];
        window_sums(sums, x, w, d, n, i, j, f);
#pragma unroll
        for (int a = 0; a < ABREAST; ++a) {
            y[(int64)index * ABREAST + a] = activate(activation, bias ? sums[a] + bias[f + a] : sums[a], alpha);
        }
    }
}

// A pixel of x gathers from the windows that it lies in, tap by tap.
template <class T>
__global__ void direct_input_gradient(const T* gy, const T* w, T* gx, Direct d) {
    for (int index = first_element(); index < d.count; index += element_step()) {
        int n = index, c = d.counted_depth.split(n), s = d.counted_columns.split(n), r = d.counted_rows.split(n);
        int group = c / d.group_channels;
        const T* from = gy + (int64)n * d.output_height * d.output_width * d.filters + group * d.group_filters;
        Wide<T> sum = 0;
        for (int p = 0; p < d.kernel_height; ++p) {
            int i = r + d.top - p * d.row_tap;
            if (i < 0 || i % d.row_stride || i / d.row_stride >= d.output_height) continue;
            for (int q = 0; q < d.kernel_width; ++q) {
                int j = s + d.left - q * d.column_tap;
                if (j < 0 || j % d.column_stride || j / d.column_stride >= d.output_width) continue;
                const T* g = from + ((int64)(i / d.row_stride) * d.output_width + j / d.column_stride) * d.filters;
                const T* weights = w + group * d.group_filters +
                    ((int64)(p * d.kernel_width + q) * d.group_channels + c % d.group_channels) * d.filters;
                for (int f = 0; f < d.group_filters; ++f) sum += (Wide<T>)g[f] * (Wide<T>)weights[f];
            }
        }
        gx[index] = sum;
    }
}

constexpr int FILTERS = 32;
constexpr int LINES = 8;

// The sum of what LINES threads to a filter have, in a fixed order, in the thread of line 0.
template <class T>
__device__ T sum_of_lines(Shared<T, FILTERS * LINES>& shared, T sum) {
    shared[threadIdx.y * FILTERS + threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y == 0) {
        for (int line = 1; line < LINES; ++line) sum += shared[line * FILTERS + threadIdx.x];
    }
    return sum;
}

// The weights' gradient at one tap and channel of 32 filters, from one part of the windows: block (filters, tap and
// channel, part).
template <class T>
__global__ void direct_kernel_gradient(const T* x, const T* gy, Wide<T>* gw, Direct d) {
    __shared__ Shared<Wide<T>, FILTERS * LINES> shared;
    int f = blockIdx.x * FILTERS + threadIdx.x, tap = blockIdx.y, part = blockIdx.z, parts = gridDim.z;
    int c = tap % d.group_channels, q = tap / d.group_channels % d.kernel_width;
    int p = tap / d.group_channels / d.kernel_width;
    int windows = d.count, last = (int)((int64)windows * (part + 1) / parts);
    Wide<T> sum = 0;
    if (f < d.filters) {
        c += f / d.group_filters * d.group_channels;
        for (int m = (int)((int64)windows * part / parts) + threadIdx.y; m < last; m += LINES) {
            int n = m, j = d.counted_columns.split(n), i = d.counted_rows.split(n);
            int row = i * d.row_stride - d.top + p * d.row_tap, column = j * d.column_stride - d.left + q * d.column_tap;
            if (row < 0 || row >= d.height || column < 0 || column >= d.width) continue;
            Wide<T> g = gy[(int64)m * d.filters + f];
            sum += g * (Wide<T>)x[(((int64)n * d.height + row) * d.width + column) * d.channels + c];
        }
    }
    sum = sum_of_lines(shared, sum);
    if (threadIdx.y == 0 && f < d.filters) gw[((int64)part * gridDim.y + tap) * d.filters + f] = sum;
}
