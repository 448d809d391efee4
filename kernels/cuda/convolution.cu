// The three passes of a convolution as products of matrices that exist nowhere (see product.cuh).
//
//     forward           y[m][f]  = sum over taps and channels k of  x[window m, k] w[k][f]
//     input gradient    gx[m][c] = sum over taps and filters k of   gy[pixel m, k] w[k][c]
//     kernel gradient   gw[k][f] = sum over windows m of            x[window m, k] gy[m][f]
//
// An input gradient with strides is one product for each residue of the pixels by the strides: within one of them the
// taps that reach a pixel are the same for all, evenly spaced, and no multiplication is by a zero in between.
#include "activation.cuh"
#include "product.cuh"

// Windows on pictures: window (n, i, j) begins at row i*row_stride - top. With pooling, windows are counted pool by
// pool, `cells` of them side by side.
struct Windows {
    Divider output_rows, output_columns, cells, cell_columns;
    Divider channels, kernel_columns;  // what k counts: tap row, tap column, channel
    int height, width, depth;          // of a picture
    int row_stride, column_stride, cell_row_stride, cell_column_stride;
    int top, left;
    int row_tap, column_tap;  // distance of the taps
    int windows, taps;        // how many windows, and how many k
};

struct Corner {
    int n, row, column;
};

// Of window m where nothing is pooled.
__device__ __forceinline__ Corner corner_of(const Windows& w, int m) {
    int j = w.output_columns.split(m), i = w.output_rows.split(m);
    return {m, i * w.row_stride - w.top, j * w.column_stride - w.left};
}

// Whether a number is one of 0..size-1: one comparison for two.
__device__ __forceinline__ bool is_below(int number, int size) { return (uint32)number < (uint32)size; }

// Windows as rows, k along them. Where they lie is counted in 32 bits, which the host has seen to be enough.
template <class T>
struct WindowRows {
    static constexpr bool ALONG_K = true, OVERLAPS = true;
    struct Outer {
        int offset, row, column;
    };
    const T* base;
    const Windows& w;

    __device__ __forceinline__ Outer outer(int m) const {
        if (m >= w.windows) return {0, -(1 << 30), 0};  // no tap of it is inside
        int cell = w.cells.split(m), cell_column = w.cell_columns.split(cell);
        Corner corner = corner_of(w, m);
        corner.row += cell * w.cell_row_stride, corner.column += cell_column * w.cell_column_stride;
        return {((corner.n * w.height + corner.row) * w.width + corner.column) * w.depth, corner.row, corner.column};
    }
    __device__ __forceinline__ const T* at(const Outer& outer, int k, bool& inside) const {
        int c = w.channels.split(k), q = w.kernel_columns.split(k), row = k * w.row_tap, column = q * w.column_tap;
        inside = inside && is_below(outer.row + row, w.height) && is_below(outer.column + column, w.width);
        return base + (outer.offset + (row * w.width + column) * w.depth + c);
    }
};

// The same numbers with taps as rows and windows along k.
template <class T>
struct WindowColumns {
    static constexpr bool ALONG_K = false, OVERLAPS = false;  // its windows come by once
    struct Outer {
        int offset, row, column;
    };
    const T* base;
    const Windows& w;

    __device__ __forceinline__ Outer outer(int tap) const {
        if (tap >= w.taps) return {0, -(1 << 30), 0};  // in no window it is inside
        int c = w.channels.split(tap), q = w.kernel_columns.split(tap), row = tap * w.row_tap, column = q * w.column_tap;
        return {(row * w.width + column) * w.depth + c, row, column};
    }
    __device__ __forceinline__ const T* at(const Outer& outer, int m, bool& inside) const {
        Corner corner = corner_of(w, m);
        inside = inside && is_below(corner.row + outer.row, w.height) && is_below(corner.column + outer.column, w.width);
        return base + (outer.offset + ((corner.n * w.height + corner.row) * w.width + corner.column) * w.depth);
    }
};

// The weights as an input gradient reads them: k counts every row_step-th tap row, every column_step-th tap column,
// and filters; the other axis counts channels.
struct Taps {
    Divider filters, columns;
    int kernel_columns, channels, all_filters;
    int first_row, first_column, row_step, column_step;
};

template <class T>
struct WeightsAlongFilters {
    static constexpr bool ALONG_K = true;
    using Outer = int;
    const T* base;
    const Taps& taps;

    __device__ __forceinline__ Outer outer(int c) const { return c; }
    __device__ __forceinline__ const T* at(int c, int k, bool& inside) const {
        int f = taps.filters.split(k), q = taps.columns.split(k);
        int p = taps.first_row + k * taps.row_step;
        q = taps.first_column + q * taps.column_step;
        inside = inside && c < taps.channels;
        return base + ((int64)(p * taps.kernel_columns + q) * taps.channels + c) * taps.all_filters + f;
    }
};

#define PRODUCT                                                                                                       \
    class T, int ROWS, int COLUMNS, int VECTOR_A, int VECTOR_B, template <class, int, int, bool, bool> class Arithmetic

// y; with winners what a max pooling behind the convolution gives, whose pools do not overlap and lie in a tile whole:
// the picture before pooling is never stored.
template <PRODUCT>
__global__ void __launch_bounds__(THREADS) forward(
    const T* x, const T* w, const Wide<T>* bias, T* y, unsigned char* winners, Windows windows, int group_filters,
    int filters, int activation, Wide<T> alpha
) {
    int group = blockIdx.z, row = blockIdx.x * ROWS, column = blockIdx.y * COLUMNS;
    WindowRows<T> a = {x + group * (int)windows.channels.divisor, windows};
    Matrix<T, false> b = {w + group * group_filters, group_filters, 1, filters};
    using Work = Product<T, ROWS, COLUMNS, VECTOR_A, VECTOR_B, Arithmetic, WindowRows<T>, Matrix<T, false>>;
    __shared__ Shared<T, Work::SIZE> shared;
    typename Work::Sums sums;
    Work::add_up(sums, shared, a, b, row, column, 0, windows.taps);
    auto&& tile = Work::spread(sums, shared);
    int cells = windows.cells.divisor, pools = min(ROWS, windows.windows - row) / cells;
#pragma unroll 1
    for (int item = threadIdx.x; item < pools * (COLUMNS / 4); item += THREADS) {
        int pool = item / (COLUMNS / 4), j = item % (COLUMNS / 4) * 4, number = group_filters - column - j;
        if (number <= 0) continue;
        int f = group * group_filters + column + j;
        Wide<T> best[4];
        unsigned char winner[4] = {0, 0, 0, 0};
        load<4>(best, tile.four(pool * cells * Work::LINE + j));
        for (int cell = 1; cell < cells; ++cell) {
            Wide<T> values[4];
            load<4>(values, tile.four((pool * cells + cell) * Work::LINE + j));
            for (int c = 0; c < 4; ++c) {
                if (wins(values[c], best[c])) best[c] = values[c], winner[c] = (unsigned char)cell;
            }
        }
        for (int c = 0; c < 4; ++c) {
            best[c] = activate(activation, bias && c < number ? best[c] + bias[f + c] : best[c], alpha);
        }
        int64 target = (int64)(row / cells + pool) * filters + f;
        write_some<VECTOR_B>(y + target, best, number);
        if (winners) write_some<VECTOR_B>(winners + target, winner, number);
    }
}

// Where the pixels of one residue lie among all.
struct Residue {
    Divider rows, columns;
    int height, width, first_row, first_column, row_stride, column_stride;
};

template <PRODUCT>
__global__ void __launch_bounds__(THREADS) input_gradient(
    const T* gy, const T* w, T* gx, Windows windows, Taps taps, Residue residue, int all_channels
) {
    int group = blockIdx.z, row = blockIdx.x * ROWS, column = blockIdx.y * COLUMNS;
    WindowRows<T> a = {gy + group * (int)windows.channels.divisor, windows};
    WeightsAlongFilters<T> b = {w + group * (int)windows.channels.divisor, taps};
    using Work = Product<T, ROWS, COLUMNS, VECTOR_A, VECTOR_B, Arithmetic, WindowRows<T>, WeightsAlongFilters<T>>;
    __shared__ Shared<T, Work::SIZE> shared;
    typename Work::Sums sums;
    Work::add_up(sums, shared, a, b, row, column, 0, windows.taps);
    Work::for_fours(sums, shared, [&](int i, int c, const Wide<T> (&four)[4]) {
        int n = i + row;
        if (n >= windows.windows) return;
        int pixel_column = residue.first_column + residue.columns.split(n) * residue.column_stride;
        int pixel_row = residue.first_row + residue.rows.split(n) * residue.row_stride;
        int64 pixel = ((int64)n * residue.height + pixel_row) * residue.width + pixel_column;
        write_some<1>(gx + (pixel * all_channels + group * taps.channels + column + c), four, taps.channels - column - c);
    });
}

// Block z sums part z / groups of the windows and writes to its own copy of gw.
template <PRODUCT>
__global__ void __launch_bounds__(THREADS) kernel_gradient(
    const T* x, const T* gy, Wide<T>* gw, Windows windows, int group_filters, int filters, int groups
) {
    int group = blockIdx.z % groups, part = blockIdx.z / groups, parts = gridDim.z / groups;
    int row = blockIdx.x * ROWS, column = blockIdx.y * COLUMNS;
    WindowColumns<T> a = {x + group * (int)windows.channels.divisor, windows};
    Matrix<T, false> b = {gy + group * group_filters, group_filters, 1, filters};
    using Work = Product<T, ROWS, COLUMNS, VECTOR_A, VECTOR_B, Arithmetic, WindowColumns<T>, Matrix<T, false>>;
    __shared__ Shared<T, Work::SIZE> shared;
    typename Work::Sums sums;
    int depth = windows.windows;
    Work::add_up(sums, shared, a, b, row, column, part_of(part, parts, depth), part_of(part + 1, parts, depth));
    gw += (int64)part * windows.taps * filters + group * group_filters;
    Work::for_fours(sums, shared, [&](int i, int j, const Wide<T> (&four)[4]) {
        i += row, j += column;
        if (i < windows.taps) write_some<VECTOR_B>(gw + ((int64)i * filters + j), four, group_filters - j);
    });
}
