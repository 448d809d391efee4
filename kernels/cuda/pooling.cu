// Pooling, forward and back. A thread takes N channels of one window or one cell at once; neighbouring threads take
// neighbouring channels, so that they read and write side by side.
//
// Backward, where windows lie apart, a thread spreads what one window got over the cells from it to the next. Where they
// overlap, a thread has a cell, which asks the windows that it lies in, in their order.
#include "common.cuh"

struct Pooling {
    Divider channels, rows, columns;  // of what the threads are counted over; N channels count as one
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

template <class T, class Winner, int N>
__global__ void max_pool(const T* x, T* y, Winner* winners, Pooling p) {
    for (int index = first_element(); index < p.count; index += element_step()) {
        Place at = place_of(p, index);
        int row = at.i * p.row_stride - p.top, column = at.j * p.column_stride - p.left;
        Wide<T> best[N], cell[N];
        Winner winner[N];
        for (int c = 0; c < N; ++c) best[c] = minus_infinity<Wide<T>>(), winner[c] = 0;  // what padding counts as
        for (int ph = max(0, -row); ph < p.window_height && row + ph < p.height; ++ph) {
            for (int pw = max(0, -column); pw < p.window_width && column + pw < p.width; ++pw) {
                load(cell, x, offset(p, p.height, p.width, at.n, row + ph, column + pw, at.c));
                for (int c = 0; c < N; ++c) {
                    if (wins(cell[c], best[c])) best[c] = cell[c], winner[c] = (Winner)(ph * p.window_width + pw);
                }
            }
        }
        store(y, index, best);
        store(winners, index, winner);
    }
}

// The windows that a cell lies in are first..last along each axis.
__device__ __forceinline__ int first_window(int cell, int window, int stride) {
    return max(0, (cell - window + stride) / stride);
}
__device__ __forceinline__ int last_window(int cell, int stride, int windows) {
    return min(windows - 1, cell / stride);
}

template <class T, class Winner, int N>
__global__ void max_pool_gradient(const T* gy, const Winner* winners, T* gx, Pooling p) {
    for (int index = first_element(); index < p.count; index += element_step()) {
        Place at = place_of(p, index);
        int row = at.i + p.top, column = at.j + p.left;
        int last_i = last_window(row, p.row_stride, p.output_height);
        int last_j = last_window(column, p.column_stride, p.output_width);
        Wide<T> sum[N] = {}, got[N];
        Winner winner[N];
        for (int i = first_window(row, p.window_height, p.row_stride); i <= last_i; ++i) {
            for (int j = first_window(column, p.window_width, p.column_stride); j <= last_j; ++j) {
                int64 k = offset(p, p.output_height, p.output_width, at.n, i, j, at.c);
                int mine = (row - i * p.row_stride) * p.window_width + column - j * p.column_stride;
                load(got, gy, k);
                load(winner, winners, k);
                for (int c = 0; c < N; ++c) sum[c] += winner[c] == mine ? got[c] : 0;
            }
        }
        store(gx, index, sum);
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

template <class T, int N>
__global__ void avg_pool(const T* x, T* y, Pooling p) {
    for (int index = first_element(); index < p.count; index += element_step()) {
        Place at = place_of(p, index);
        int row = at.i * p.row_stride - p.top, column = at.j * p.column_stride - p.left;
        Wide<T> sum[N] = {}, cell[N];
        for (int i = max(row, 0); i < min(row + p.window_height, p.height); ++i) {
            for (int j = max(column, 0); j < min(column + p.window_width, p.width); ++j) {
                load(cell, x, offset(p, p.height, p.width, at.n, i, j, at.c));
                for (int c = 0; c < N; ++c) sum[c] += cell[c];
            }
        }
        int cells = cells_inside(row, p.window_height, p.height) * cells_inside(column, p.window_width, p.width);
        for (int c = 0; c < N; ++c) sum[c] /= cells;
        store(y, index, sum);
    }
}

template <class T, int N>
__global__ void avg_pool_gradient(const T* gy, T* gx, Pooling p) {
    for (int index = first_element(); index < p.count; index += element_step()) {
        Place at = place_of(p, index);
        int row = at.i + p.top, column = at.j + p.left;
        int last_i = last_window(row, p.row_stride, p.output_height);
        int last_j = last_window(column, p.column_stride, p.output_width);
        Wide<T> sum[N] = {}, got[N];
        for (int i = first_window(row, p.window_height, p.row_stride); i <= last_i; ++i) {
            int rows = cells_inside(i * p.row_stride - p.top, p.window_height, p.height);
            for (int j = first_window(column, p.window_width, p.column_stride); j <= last_j; ++j) {
                int cells = rows * cells_inside(j * p.column_stride - p.left, p.window_width, p.width);
                load(got, gy, offset(p, p.output_height, p.output_width, at.n, i, j, at.c));
                for (int c = 0; c < N; ++c) sum[c] += got[c] / cells;
            }
        }
        store(gx, index, sum);
    }
}

// What a window got goes to the cells from where it begins to where the next one does, as `share` says of each by its
// place in the window: NONE for a cell that the window does not reach. The last cells of a picture may have no window.
constexpr int NONE = -1;

template <int N, class T, class Share>
__device__ __forceinline__ void spread(T* gx, const Pooling& p, const Place& at, Share share) {
    int row = at.i * p.row_stride - p.top, column = at.j * p.column_stride - p.left;
    bool some = at.i < p.output_height && at.j < p.output_width;
    for (int ph = max(0, -row); ph < p.row_stride && row + ph < p.height; ++ph) {
        for (int pw = max(0, -column); pw < p.column_stride && column + pw < p.width; ++pw) {
            bool reached = some && ph < p.window_height && pw < p.window_width;
            Wide<T> part[N];
            for (int c = 0; c < N; ++c) part[c] = share(c, reached ? ph * p.window_width + pw : NONE);
            store(gx, offset(p, p.height, p.width, at.n, row + ph, column + pw, at.c), part);
        }
    }
}

// Where in gy the window lies that begins at a place; one that does not exist counts as the last of its row or column.
__device__ __forceinline__ int64 window_of(const Pooling& p, const Place& at) {
    int i = min(at.i, p.output_height - 1), j = min(at.j, p.output_width - 1);
    return offset(p, p.output_height, p.output_width, at.n, i, j, at.c);
}

template <class T, class Winner, int N>
__global__ void max_pool_spread(const T* gy, const Winner* winners, T* gx, Pooling p) {
    for (int index = first_element(); index < p.count; index += element_step()) {
        Place at = place_of(p, index);
        int64 k = window_of(p, at);
        Wide<T> got[N];
        Winner winner[N];
        load(got, gy, k);
        load(winner, winners, k);
        spread<N>(gx, p, at, [&](int c, int place) { return (int)winner[c] == place ? got[c] : 0; });
    }
}

template <class T, int N>
__global__ void avg_pool_spread(const T* gy, T* gx, Pooling p) {
    for (int index = first_element(); index < p.count; index += element_step()) {
        Place at = place_of(p, index);
        int cells = cells_inside(at.i * p.row_stride - p.top, p.window_height, p.height) *
                    cells_inside(at.j * p.column_stride - p.left, p.window_width, p.width);
        Wide<T> got[N];
        load(got, gy, window_of(p, at));
        for (int c = 0; c < N; ++c) got[c] /= cells;
        spread<N>(gx, p, at, [&](int c, int place) { return place != NONE ? got[c] : 0; });
    }
}
