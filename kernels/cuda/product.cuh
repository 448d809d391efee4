// The product of two matrices, a tile to a block: what dense layers and all three passes of a convolution are made of.
//
//     out[m][n] = sum over k of a[m][k] b[k][n]
//
// Neither matrix need exist. A source says where the element (m, k) of a, or (k, n) of b, lies in memory, if anywhere:
// for a convolution (k, n) = (tap and channel, filter) and a[m][k] is that tap's number in window m, so that the
// picture is read where it is, and what lies outside is zero (implicit im2col).
//
// The block walks along k in steps of DEPTH. While it multiplies the tiles of one step in shared memory, those of the
// next steps are on their way there.
#pragma once

#include "fragments.cuh"
#include "staging.cuh"

constexpr int DEPTH = 16;
constexpr int THREADS = 128;
// Every device gives a block so much without being asked.
constexpr int SHARED_BYTES = 48 * 1024;

// How a tile of EXTENT rows (or columns) and DEPTH lies in shared memory: with k as the fast axis where memory has it
// so, else with the other. The lines are longer than their content, by as much as keeps the accesses of a warp below on
// different banks.
template <class T, int EXTENT, bool ALONG>
struct Layout {
    static constexpr bool ALONG_K = ALONG;
    static constexpr int LINE = !ALONG_K ? EXTENT + 8 : sizeof(T) < 4 ? DEPTH + 8 : DEPTH + 4;
    static constexpr int SIZE = (ALONG_K ? EXTENT : DEPTH) * LINE;
    static __device__ __forceinline__ int at(int outer, int k) {
        return ALONG_K ? outer * LINE + k : k * LINE + outer;
    }
};

// Brings a source's tiles to shared memory, VECTOR numbers at a time. What a source can say of a row (or column) once
// and for all, it says in the beginning.
//
// Neighbouring threads copy neighbouring numbers of a line of the tile. But single numbers along k, which may lie
// anywhere, are copied by threads that keep to a row each: what it has to say is worked out once, not for each of them.
template <class T, int EXTENT, int VECTOR, class Source>
struct Loader {
    static constexpr bool ALONG_K = Source::ALONG_K, KEEPS_ROW = ALONG_K && VECTOR == 1;
    static constexpr int PER_LINE = (ALONG_K ? DEPTH : EXTENT) / VECTOR;
    static constexpr int COPIES = EXTENT * DEPTH / VECTOR / THREADS;
    static constexpr int OUTERS = ALONG_K && !KEEPS_ROW ? COPIES : 1;
    static_assert(THREADS % PER_LINE == 0 && THREADS % EXTENT == 0 && COPIES > 0, "whole lines, and something to do");
    using Tile = Layout<T, EXTENT, ALONG_K>;

    const Source& source;
    typename Source::Outer outers[OUTERS];

    __device__ __forceinline__ Loader(const Source& source, int first) : source(source) {
#pragma unroll
        for (int copy = 0; copy < OUTERS; ++copy) outers[copy] = source.outer(first + outer(copy));
    }
    // Which line, and where in it.
    static __device__ __forceinline__ int line(int copy) {
        return KEEPS_ROW ? (int)threadIdx.x % EXTENT : ((int)threadIdx.x + copy * THREADS) / PER_LINE;
    }
    static __device__ __forceinline__ int within(int copy) {
        return KEEPS_ROW ? (int)threadIdx.x / EXTENT + copy * (THREADS / EXTENT) : (int)threadIdx.x % PER_LINE * VECTOR;
    }
    static __device__ __forceinline__ int outer(int copy) { return ALONG_K ? line(copy) : within(copy); }

    template <int N>
    __device__ __forceinline__ void load(Shared<T, N>& shared, int offset, int first, int last) const {
#pragma unroll
        for (int copy = 0; copy < COPIES; ++copy) {
            int k = first + (ALONG_K ? within(copy) : line(copy));
            bool inside = k < last;
            const T* from = source.at(outers[OUTERS > 1 ? copy : 0], k, inside);
            int to = offset + line(copy) * Tile::LINE + within(copy);
            copy_async<VECTOR>(shared, to, inside ? from : source.base, inside);
        }
    }
};

// Multiplies tiles by multiply-adds of T. The block's threads stand 16 to a row; each has ROWS * COLUMNS / THREADS sums.
template <class T, int ROWS, int COLUMNS, bool ALONG_A, bool ALONG_B>
struct Exact {
    static constexpr int LINES = THREADS / 16;
    static constexpr int HEIGHT = ROWS / LINES, WIDTH = COLUMNS / 16;
    static constexpr int ABREAST = WIDTH < 4 ? WIDTH : 4;  // a thread's columns that lie side by side
    using A = Layout<T, ROWS, ALONG_A>;
    using B = Layout<T, COLUMNS, ALONG_B>;
    T sums[HEIGHT][WIDTH] = {};

    // A thread's columns lie side by side where b has its columns side by side.
    static __device__ __forceinline__ int row(int i) { return (int)threadIdx.x / 16 + i * LINES; }
    static __device__ __forceinline__ int column(int j) {
        int lane = threadIdx.x % 16;
        return ALONG_B ? lane + 16 * j : lane * ABREAST + j % ABREAST + j / ABREAST * 16 * ABREAST;
    }

    template <int N>
    __device__ __forceinline__ void multiply(Shared<T, N>& shared, int a_first, int b_first) {
        static_assert(WIDTH % ABREAST == 0, "whole vectors of columns");
#pragma unroll
        for (int k = 0; k < DEPTH; k += 4) {
            T a[HEIGHT][4], b[WIDTH][4];
#pragma unroll
            for (int i = 0; i < HEIGHT; ++i) {
                if (ALONG_A) load<4>(a[i], shared.four(a_first + A::at(row(i), k)));
                else for (int d = 0; d < 4; ++d) a[i][d] = shared[a_first + A::at(row(i), k + d)];
            }
#pragma unroll
            for (int j = 0; j < WIDTH; j += ALONG_B ? 1 : ABREAST) {
                if (ALONG_B) {
                    load<4>(b[j], shared.four(b_first + B::at(column(j), k)));
                } else {
                    for (int d = 0; d < 4; ++d) {
                        T abreast[4];
                        int first = b_first + B::at(column(j), k + d);
                        if (ABREAST == 4) load<4>(abreast, shared.four(first));
                        else for (int side = 0; side < ABREAST; ++side) abreast[side] = shared[first + side];
                        for (int side = 0; side < ABREAST; ++side) b[j + side][d] = abreast[side];
                    }
                }
            }
#pragma unroll
            for (int d = 0; d < 4; ++d) {
#pragma unroll
                for (int i = 0; i < HEIGHT; ++i) {
#pragma unroll
                    for (int j = 0; j < WIDTH; ++j) sums[i][j] += a[i][d] * b[j][d];
                }
            }
        }
    }

    template <class Use>
    __device__ __forceinline__ void each(const Use& use) const {
#pragma unroll
        for (int i = 0; i < HEIGHT; ++i) {
#pragma unroll
            for (int j = 0; j < WIDTH; ++j) use(row(i), column(j), sums[i][j]);
        }
    }
};

// Multiplies tiles on the tensor cores, in TF32 or 16 bits. The four warps stand two by two; each has TALL x WIDE
// fragments of 16 x 8 sums.
template <class T, int ROWS, int COLUMNS, bool ALONG_A, bool ALONG_B>
struct Tensor {
    static constexpr int TALL = ROWS / 2 / 16, WIDE = COLUMNS / 2 / 8;
    static_assert(TALL > 0 && WIDE % 2 == 0, "two columns of fragments are read at once");
    using A = Layout<T, ROWS, ALONG_A>;
    using B = Layout<T, COLUMNS, ALONG_B>;
    float sums[TALL][WIDE][4] = {};

    static __device__ __forceinline__ int first_row() { return (int)threadIdx.x / 32 % 2 * (ROWS / 2); }
    static __device__ __forceinline__ int first_column() { return (int)threadIdx.x / 64 * (COLUMNS / 2); }

    template <int N>
    __device__ __forceinline__ void multiply(Shared<T, N>& shared, int a_first, int b_first) {
#pragma unroll
        for (int k = 0; k < DEPTH; k += 8 * PER_WORD<T>) {
            uint32 a[TALL][4], b[WIDE / 2][4];
#pragma unroll
            for (int i = 0; i < TALL; ++i) read_fragments<A, true>(a[i], shared, a_first, first_row() + i * 16, k);
#pragma unroll
            for (int j = 0; j < WIDE / 2; ++j) {
                read_fragments<B, false>(b[j], shared, b_first, first_column() + j * 16, k);
            }
#pragma unroll
            for (int i = 0; i < TALL; ++i) {
#pragma unroll
                for (int j = 0; j < WIDE; ++j) multiply_fragments<T>(sums[i][j], a[i], &b[j / 2][j % 2 * 2]);
            }
        }
    }

    template <class Use>
    __device__ __forceinline__ void each(const Use& use) const {
        int group = (int)threadIdx.x % 32 / 4, member = (int)threadIdx.x % 4;
#pragma unroll
        for (int i = 0; i < TALL; ++i) {
#pragma unroll
            for (int j = 0; j < WIDE; ++j) {
#pragma unroll
                for (int part = 0; part < 4; ++part) {
                    use(first_row() + i * 16 + group + part / 2 * 8, first_column() + j * 8 + member * 2 + part % 2,
                        sums[i][j][part]);
                }
            }
        }
    }
};

// A block's work on its tile of ROWS x COLUMNS.
template <class T, int ROWS, int COLUMNS, int VECTOR_A, int VECTOR_B,
          template <class, int, int, bool, bool> class Arithmetic, class SourceA, class SourceB>
struct Product {
    using LoaderA = Loader<T, ROWS, VECTOR_A, SourceA>;
    using LoaderB = Loader<T, COLUMNS, VECTOR_B, SourceB>;
    using Sums = Arithmetic<T, ROWS, COLUMNS, SourceA::ALONG_K, SourceB::ALONG_K>;
    static constexpr int STAGE = LoaderA::Tile::SIZE + LoaderB::Tile::SIZE;
    // Where neighbouring rows share numbers, the first cache keeps these, in the memory that stages leave to it.
    static constexpr int STAGES = 4 * STAGE * sizeof(T) <= SHARED_BYTES ? 4 : SourceA::OVERLAPS ? 2 : 3;
    // The tile of sums, when all has been added up, lies where the last steps lay; its lines are longer than its rows,
    // so that columns lie on different banks.
    static constexpr int LINE = COLUMNS + 4;
    static constexpr int SUMS_SIZE = ROWS * LINE * (sizeof(Wide<T>) / sizeof(T));
    static constexpr int SIZE = STAGES * STAGE > SUMS_SIZE ? STAGES * STAGE : SUMS_SIZE;
    static_assert(SIZE * sizeof(T) <= SHARED_BYTES, "a block has no more");

    // Adds up the products of first <= k < last for the tile that begins at (row, column).
    static __device__ __forceinline__ void add_up(
        Sums& sums, Shared<T, SIZE>& shared, const SourceA& a, const SourceB& b, int row, int column, int first, int last
    ) {
        LoaderA load_a(a, row);
        LoaderB load_b(b, column);
        auto fetch = [&](int k, int stage) {
            if (k < last) {
                load_a.load(shared, stage * STAGE, k, last);
                load_b.load(shared, stage * STAGE + LoaderA::Tile::SIZE, k, last);
            }
            commit_copies();
        };
#pragma unroll
        for (int stage = 0; stage < STAGES - 1; ++stage) fetch(first + stage * DEPTH, stage);
        int stage = 0, filled = STAGES - 1;
        for (int k = first; k < last; k += DEPTH) {
            wait_for_copies<STAGES - 2>();
            // What all threads have copied is there, and nobody reads the stage before it any more.
            __syncthreads();
            fetch(k + (STAGES - 1) * DEPTH, filled);
            sums.multiply(shared, stage * STAGE, stage * STAGE + LoaderA::Tile::SIZE);
            filled = stage;
            stage = stage + 1 == STAGES ? 0 : stage + 1;
        }
    }

    // The sums where all threads can read them: four side by side from four(i * LINE + j) on.
    static __device__ __forceinline__ auto spread(const Sums& sums, Shared<T, SIZE>& shared)
        -> decltype(shared.template as<Wide<T>, ROWS * LINE>()) {
        auto&& tile = shared.template as<Wide<T>, ROWS * LINE>();
        __syncthreads();  // the last step has been read
        sums.each([&](int i, int j, Wide<T> sum) { tile[i * LINE + j] = sum; });
        __syncthreads();
        return shared.template as<Wide<T>, ROWS * LINE>();
    }

    // Calls use(i, j, sums) for four sums side by side of the tile at a time, in rows and columns of the tile.
    template <class Use>
    static __device__ __forceinline__ void for_fours(const Sums& sums, Shared<T, SIZE>& shared, const Use& use) {
        auto&& tile = spread(sums, shared);
#pragma unroll 1
        for (int item = threadIdx.x; item < ROWS * COLUMNS / 4; item += THREADS) {
            int i = item / (COLUMNS / 4), j = item % (COLUMNS / 4) * 4;
            Wide<T> four[4];
            load<4>(four, tile.four(i * LINE + j));
            use(i, j, four);
        }
    }
};

// Up to four numbers side by side to where those that exist belong; at once if there is room for all (VECTOR 4).
template <int VECTOR, class T>
__device__ __forceinline__ void write_some(T* to, const Wide<T> (&from)[4], int number) {
    if (VECTOR == 4) {
        if (number > 0) store(to, 0, from);
    } else {
        for (int c = 0; c < 4 && c < number; ++c) to[c] = from[c];
    }
}

// A matrix that exists. `outer` counts the rows of a, or the columns of b.
template <class T, bool ALONG>
struct Matrix {
    static constexpr bool ALONG_K = ALONG, OVERLAPS = false;
    using Outer = int;
    const T* base;
    int outers, outer_step, k_step;

    __device__ __forceinline__ int outer(int index) const { return index; }
    __device__ __forceinline__ const T* at(int outer, int k, bool& inside) const {
        inside = inside && outer < outers;
        return base + (int64)outer * outer_step + (int64)k * k_step;
    }
};

// Where the parts of a sum over k begin that is shared among blocks, a whole number of steps each.
__device__ __forceinline__ int part_of(int part, int parts, int depth) {
    int steps = (depth + DEPTH - 1) / DEPTH;
    return min((int)((int64)steps * part / parts) * DEPTH, depth);
}
