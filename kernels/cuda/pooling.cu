// Pooling, forward and back. A thread makes one number; neighbouring threads take neighbouring channels, so that they
// read and write side by side. Backward gathers: a cell asks the windows that it lies in, in their order.
#include "common.cuh"

struct Pooling {
    Divider channels, rows, columns;  // of what the threads are counted over
    int height, width;                // of the picture
    int output_height, output_width;
    int window_height, window_width;
    int row_stride, column_stride;
    int top, left;
    int count;  // threads that have work
};

struct Place {
    int n, i, j, c;
};

__device__ __forceinline__ Place place_of(const Pooling& p, int index) {
    Place place;
    place.c = p.channels.split(index);
    place.j = p.columns.split(index);
    place.i = p.rows.split(index);
    place.n = index;
    return place;
}

__device__ __forceinline__ int64 offset(const Pooling& p, int height, int width, int n, int i, int j, int c) {
    return (((int64)n * height + i) * width + j) * p.channels.divisor + c;
}

template <class T, class Winner>
__global__ void max_pool(const T* x, T* y, Winner* winners, Pooling p) {
    for (int index = first_element(); index < p.count; index += element_step()) {
        Place at = place_of(p, index);
        int row = at.i * p.row_stride - p.top, column = at.j * p.column_stride - p.left;
        Wide<T> best = minus_infinity<Wide<T>>();  // what padding counts as
        int winner = 0;
        for (int ph = max(0, -row); ph < p.window_height && row + ph < p.height; ++ph) {
            for (int pw = max(0, -column); pw < p.window_width && column + pw < p.width; ++pw) {
                Wide<T> value = x[offset(p, p.height, p.width, at.n, row + ph, column + pw, at.c)];
                if (wins(value, best)) best = value, winner = ph * p.window_width + pw;
            }
        }
        y[index] = best;
        winners[index] = (Winner)winner;
    }
}

// The windows that a cell lies in are first..last along each axis.
__device__ __forceinline__ int first_window(int cell, int window, int stride) {
    return max(0, (cell - window + stride) / stride);
}
__device__ __forceinline__ int last_window(int cell, int stride, int windows) {
    return min(windows - 1, cell / stride);
}

template <class T, class Winner>
__global__ void max_pool_gradient(const T* gy, const Winner* winners, T* gx, Pooling p) {
    for (int index = first_element(); index < p.count; index += element_step()) {
        Place at = place_of(p, index);
        int row = at.i + p.top, column = at.j + p.left;
        int last_i = last_window(row, p.row_stride, p.output_height);
        int last_j = last_window(column, p.column_stride, p.output_width);
        Wide<T> sum = 0;
        for (int i = first_window(row, p.window_height, p.row_stride); i <= last_i; ++i) {
            for (int j = first_window(column, p.window_width, p.column_stride); j <= last_j; ++j) {
                int64 k = offset(p, p.output_height, p.output_width, at.n, i, j, at.c);
                int mine = (row - i * p.row_stride) * p.window_width + column - j * p.column_stride;
                if (winners[k] == mine) sum += gy[k];
            }
        }
        gx[index] = sum;
    }
}

template <class T, class Winner>
__global__ void max_pool_gather(const T* x, const Winner* winners, T* y, Pooling p) {
    for (int index = first_element(); index < p.count; index += element_step()) {
        Place at = place_of(p, index);
        int row = at.i * p.row_stride - p.top + winners[index] / p.window_width;
        int column = at.j * p.column_stride - p.left + winners[index] % p.window_width;
        bool inside = 0 <= row && row < p.height && 0 <= column && column < p.width;
        y[index] = inside ? x[offset(p, p.height, p.width, at.n, row, column, at.c)] : (T)0;
    }
}

// How many cells of a window that begins at `start` lie inside the picture.
__device__ __forceinline__ int cells_inside(int start, int window, int size) {
    return min(start + window, size) - max(start, 0);
}

template <class T>
__global__ void avg_pool(const T* x, T* y, Pooling p) {
    for (int index = first_element(); index < p.count; index += element_step()) {
        Place at = place_of(p, index);
        int row = at.i * p.row_stride - p.top, column = at.j * p.column_stride - p.left;
        Wide<T> sum = 0;
        for (int i = max(row, 0); i < min(row + p.window_height, p.height); ++i) {
            for (int j = max(column, 0); j < min(column + p.window_width, p.width); ++j) {
                sum += x[offset(p, p.height, p.width, at.n, i, j, at.c)];
            }
        }
        int cells = cells_inside(row, p.window_height, p.height) * cells_inside(column, p.window_width, p.width);
        y[index] = sum / cells;
    }
}

template <class T>
__global__ void avg_pool_gradient(const T* gy, T* gx, Pooling p) {
    for (int index = first_element(); index < p.count; index += element_step()) {
        Place at = place_of(p, index);
        int row = at.i + p.top, column = at.j + p.left;
        int last_i = last_window(row, p.row_stride, p.output_height);
        int last_j = last_window(column, p.column_stride, p.output_width);
        Wide<T> sum = 0;
        for (int i = first_window(row, p.window_height, p.row_stride); i <= last_i; ++i) {
            int rows = cells_inside(i * p.row_stride - p.top, p.window_height, p.height);
            for (int j = first_window(column, p.window_width, p.column_stride); j <= last_j; ++j) {
                int cells = rows * cells_inside(j * p.column_stride - p.left, p.window_width, p.width);
                sum += gy[offset(p, p.output_height, p.output_width, at.n, i, j, at.c)] / cells;
            }
        }
        gx[index] = sum;
    }
}
