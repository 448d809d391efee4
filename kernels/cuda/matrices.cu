// Matrix products, also of transposed matrices, and sums of the parts of a long sum.
#include "activation.cuh"
#include "product.cuh"

// activation(a b + bias) to `out`; where there are `parts`, block z sums part z of k alone and writes to its own.
template <class T, int ROWS, int COLUMNS, int VECTOR, template <class, int, int, bool, bool> class Arithmetic,
          bool ALONG_A, bool ALONG_B>
__global__ void __launch_bounds__(THREADS) multiply(
    const T* a, int a_step, const T* b, int b_step, const Wide<T>* bias, T* out, Wide<T>* parts, int rows, int columns,
    int depth, int activation, Wide<T> alpha
) {
    Matrix<T, ALONG_A> left = {a, rows, ALONG_A ? a_step : 1, ALONG_A ? 1 : a_step};
    Matrix<T, ALONG_B> right = {b, columns, ALONG_B ? b_step : 1, ALONG_B ? 1 : b_step};
    using Work = Product<T, ROWS, COLUMNS, VECTOR, VECTOR, Arithmetic, Matrix<T, ALONG_A>, Matrix<T, ALONG_B>>;
    __shared__ Shared<T, Work::SIZE> shared;
    typename Work::Sums sums;
    int row = blockIdx.x * ROWS, column = blockIdx.y * COLUMNS, number = gridDim.z, part = blockIdx.z;
    int first = part_of(part, number, depth), last = part_of(part + 1, number, depth);
    Work::add_up(sums, shared, left, right, row, column, first, last);
    Work::for_fours(sums, shared, [&](int i, int j, Wide<T> (&four)[4]) {
        i += row, j += column;
        if (i >= rows) return;
        int64 target = (int64)i * columns + j;
        if (parts) {
            write_some<1>(parts + ((int64)part * rows * columns + target), four, columns - j);
            return;
        }
        for (int c = 0; c < 4; ++c) {
            four[c] = activate(activation, bias && j + c < columns ? four[c] + bias[j + c] : four[c], alpha);
        }
        write_some<1>(out + target, four, columns - j);
    });
}

constexpr int ADDERS = 256;

// activation(the sum of the parts + bias). Each of `lines` threads to a number adds every lines-th part of it, in their
// order, and the first of them what they found.
template <class T>
__global__ void __launch_bounds__(ADDERS) add_parts(
    const Wide<T>* parts, const Wide<T>* bias, T* out, int64 count, int number, int columns, int lines, int activation,
    Wide<T> alpha
) {
    __shared__ Shared<Wide<T>, ADDERS> found;
    int abreast = ADDERS / lines, line = threadIdx.x / abreast;
    int64 i = (int64)blockIdx.x * abreast + threadIdx.x % abreast;
    Wide<T> sum = 0;
    if (i < count) {
#pragma unroll 4
        for (int part = line; part < number; part += lines) sum += parts[part * count + i];
    }
    found[threadIdx.x] = sum;
    __syncthreads();
    if (line || i >= count) return;
    for (int other = 1; other < lines; ++other) sum += found[other * abreast + threadIdx.x];
    out[i] = activate(activation, bias ? sum + bias[i % columns] : sum, alpha);
}
