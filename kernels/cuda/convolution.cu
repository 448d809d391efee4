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

__device__ __forceinline__ Corner corner_of(const Windows& w, int m) {
    int cell = w.cells.split(m), cell_column = w.cell_columns.split(cell);
    int j = w.output_columns.split(m), i = w.output_rows.split(m);
    return {m, i * w.row_stride + cell * w.cell_row_stride - w.top,
            j * w.column_stride + cell_column * w.cell_column_stride - w.left};
}

// Windows as rows, k along them.
template <class T>
struct WindowRows {
    static constexpr bool ALONG_K = true;
    struct Outer {
        const T* picture;
        int row, column;
    };
    const T* base;
    const Windows& w;

    __device__ __forceinline__ Outer outer(int m) const {
        if (m >= w.windows) return {base, -(1 << 30), 0};  // no tap of it is inside
        Corner corner = corner_of(w, m);
        return {base + (int64)corner.n * w.height * w.width * w.depth, corner.row, corner.column};
    }
    __device__ __forceinline__ const T* at(const Outer& outer, int k, bool& inside) const {
        int c = w.channels.split(k), q = w.kernel_columns.split(k);
        int row = outer.row + k * w.row_tap, column = outer.column + q * w.column_tap;
        inside = inside && 0 <= row && row < w.height && 0 <= column && column < w.width;
        return outer.picture + ((int64)row * w.width + column) * w.depth + c;
    }
};

// The same numbers with taps as rows and windows along k.
template <class T>
struct WindowColumns {
    static constexpr bool ALONG_K = false;
    struct Outer {
        int row, column, c;
        bool exists;
    };
    const T* base;
    const Windows& w;

    __device__ __forceinline__ Outer outer(int tap) const {
        bool exists = tap < w.taps;
        int c = w.channels.split(tap), q = w.kernel_columns.split(tap);
        return {tap * w.row_tap, q * w.column_tap, c, exists};
    }
    __device__ __forceinline__ const T* at(const Outer& outer, int m, bool& inside) const {
        Corner corner = corner_of(w, m);
        int row = corner.row + outer.row, column = corner.column + outer.column;
        inside = inside && outer.exists && 0 <= row && row < w.height && 0 <= column && column < w.width;
        return base + (((int64)corner.n * w.height + row) * w.width + column) * w.depth + outer.c;
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

template <class T, int ROWS, int COLUMNS, int VECTOR, template <class, int, int, int, bool, bool> class Arithmetic>
__global__ void __launch_bounds__(THREADS_FOR(ROWS, COLUMNS)) forward(
    const T* x, const T* w, const Wide<T>* bias, T* y, Windows windows, int group_filters, int filters, int activation,
    Wide<T> alpha
) {
    int group = blockIdx.z, row = blockIdx.x * ROWS, column = blockIdx.y * COLUMNS;
    WindowRows<T> a = {x + group * (int)windows.channels.divisor, windows};
    Matrix<T, false> b = {w + group * group_filters, group_filters, 1, filters};
    using Work = Product<T, ROWS, COLUMNS, VECTOR, Arithmetic, WindowRows<T>, Matrix<T, false>>;
    __shared__ Shared<T, 2 * Work::STAGE> shared;
    typename Work::Sums sums;
    Work::add_up(sums, shared, a, b, row, column, 0, windows.taps);
    sums.each([&](int i, int j, Wide<T> sum) {
        i += row, j += column;
        if (i >= windows.windows || j >= group_filters) return;
        int f = group * group_filters + j;
        y[(int64)i * filters + f] = activate(activation, bias ? sum + bias[f] : sum, alpha);
    });
}

// The same for pools that do not overlap and lie in a tile whole: the picture before pooling is never stored.
template <class T, int ROWS, int COLUMNS, int VECTOR, template <class, int, int, int, bool, bool> class Arithmetic>
__global__ void __launch_bounds__(THREADS_FOR(ROWS, COLUMNS)) forward_pooled(
    const T* x, const T* w, const Wide<T>* bias, T* y, unsigned char* winners, Windows windows, int group_filters,
    int filters, int activation, Wide<T> alpha
) {
    constexpr int LINE = COLUMNS + 4;
    int group = blockIdx.z, row = blockIdx.x * ROWS, column = blockIdx.y * COLUMNS;
    WindowRows<T> a = {x + group * (int)windows.channels.divisor, windows};
    Matrix<T, false> b = {w + group * group_filters, group_filters, 1, filters};
    using Work = Product<T, ROWS, COLUMNS, VECTOR, Arithmetic, WindowRows<T>, Matrix<T, false>>;
    constexpr int SIZE = 2 * Work::STAGE > ROWS * LINE ? 2 * Work::STAGE : ROWS * LINE;
    __shared__ Shared<T, SIZE> shared;
    typename Work::Sums sums;
    Work::add_up(sums, shared, a, b, row, column, 0, windows.taps);
    __syncthreads();  // the last step was read; its memory holds the tile of results now
    sums.each([&](int i, int j, Wide<T> sum) { shared[i * LINE + j] = sum; });
    __syncthreads();
    int cells = windows.cells.divisor, pools = min(ROWS, windows.windows - row) / cells;
    for (int item = threadIdx.x; item < pools * COLUMNS; item += blockDim.x) {
        int pool = item / COLUMNS, j = item % COLUMNS;
        if (column + j >= group_filters) continue;
        Wide<T> best = minus_infinity<Wide<T>>();
        int winner = 0;
        for (int cell = 0; cell < cells; ++cell) {
            Wide<T> value = shared[(pool * cells + cell) * LINE + j];
            if (wins(value, best)) best = value, winner = cell;
        }
        int f = group * group_filters + column + j;
        int64 target = (int64)(row / cells + pool) * filters + f;
        y[target] = activate(activation, bias ? best + bias[f] : best, alpha);
        winners[target] = (unsigned char)winner;
    }
}

// Where the pixels of one residue lie among all.
struct Residue {
    Divider rows, columns;
    int height, width, first_row, first_column, row_stride, column_stride;
};

template <class T, int ROWS, int COLUMNS, int VECTOR, template <class, int, int, int, bool, bool> class Arithmetic>
__global__ void __launch_bounds__(THREADS_FOR(ROWS, COLUMNS)) input_gradient(
    const T* gy, const T* w, T* gx, Windows windows, Taps taps, Residue residue, int all_channels
) {
    int group = blockIdx.z, row = blockIdx.x * ROWS, column = blockIdx.y * COLUMNS;
    WindowRows<T> a = {gy + group * (int)windows.channels.divisor, windows};
    WeightsAlongFilters<T> b = {w + group * (int)windows.channels.divisor, taps};
    using Work = Product<T, ROWS, COLUMNS, VECTOR, Arithmetic, WindowRows<T>, WeightsAlongFilters<T>>;
    __shared__ Shared<T, 2 * Work::STAGE> shared;
    typename Work::Sums sums;
    Work::add_up(sums, shared, a, b, row, column, 0, windows.taps);
    sums.each([&](int i, int c, Wide<T> sum) {
        i += row, c += column;
        if (i >= windows.windows || c >= taps.channels) return;
        int n = i, pixel_column = residue.first_column + residue.columns.split(n) * residue.column_stride;
        int pixel_row = residue.first_row + residue.rows.split(n) * residue.row_stride;
        int64 pixel = ((int64)n * residue.height + pixel_row) * residue.width + pixel_column;
        gx[pixel * all_channels + group * taps.channels + c] = sum;
    });
}

// Block z sums part z / groups of the windows and writes to its own copy of gw.
template <class T, int ROWS, int COLUMNS, int VECTOR, template <class, int, int, int, bool, bool> class Arithmetic>
__global__ void __launch_bounds__(THREADS_FOR(ROWS, COLUMNS)) kernel_gradient(
    const T* x, const T* gy, Wide<T>* gw, Windows windows, int group_filters, int filters, int groups
) {
    int group = blockIdx.z % groups, part = blockIdx.z / groups, parts = gridDim.z / groups;
    int row = blockIdx.x * ROWS, column = blockIdx.y * COLUMNS;
    WindowColumns<T> a = {x + group * (int)windows.channels.divisor, windows};
    Matrix<T, false> b = {gy + group * group_filters, group_filters, 1, filters};
    using Work = Product<T, ROWS, COLUMNS, VECTOR, Arithmetic, WindowColumns<T>, Matrix<T, false>>;
    __shared__ Shared<T, 2 * Work::STAGE> shared;
    typename Work::Sums sums;
    int depth = windows.windows;
    Work::add_up(sums, shared, a, b, row, column, part_of(part, parts, depth), part_of(part + 1, parts, depth));
    gw += (int64)part * windows.taps * filters;
    sums.each([&](int i, int j, Wide<T> sum) {
        i += row, j += column;
        if (i < windows.taps && j < group_filters) gw[(int64)i * filters + group * group_filters + j] = sum;
    });
}
