// Matrix products, also of transposed matrices, and sums of the parts of a long sum.
#include "product.cuh"

// Block z sums part z of k and writes to its own copy of `out`.
template <class T, template <class, int, int, int, bool, bool> class Arithmetic, int TILE, int VECTOR, bool ALONG_A,
          bool ALONG_B>
__global__ void __launch_bounds__(THREADS_FOR(TILE, TILE)) multiply(
    const T* a, int64 a_step, const T* b, int64 b_step, const Wide<T>* bias, Wide<T>* out, int rows, int columns,
    int depth
) {
    Matrix<T, ALONG_A> left = {a, rows, ALONG_A ? a_step : 1, ALONG_A ? 1 : a_step};
    Matrix<T, ALONG_B> right = {b, columns, ALONG_B ? b_step : 1, ALONG_B ? 1 : b_step};
    using Work = Product<T, TILE, TILE, VECTOR, Arithmetic, Matrix<T, ALONG_A>, Matrix<T, ALONG_B>>;
    __shared__ Shared<T, 2 * Work::STAGE> shared;
    typename Work::Sums sums;
    int row = blockIdx.x * TILE, column = blockIdx.y * TILE, parts = gridDim.z, part = blockIdx.z;
    Work::add_up(sums, shared, left, right, row, column, part_of(part, parts, depth), part_of(part + 1, parts, depth));
    out += (int64)part * rows * columns;
    sums.each([&](int i, int j, Wide<T> sum) {
        i += row, j += column;
        if (i < rows && j < columns) out[(int64)i * columns + j] = bias ? sum + bias[j] : sum;
    });
}

// Adds the parts in their order, and the bias.
template <class T>
__global__ void add_parts(
    const Wide<T>* parts, const Wide<T>* bias, T* out, int64 count, int number, int columns
) {
    for (int64 i = first_element(); i < count; i += element_step()) {
        Wide<T> sum = parts[i];
        for (int part = 1; part < number; ++part) sum += parts[part * count + i];
        out[i] = bias ? sum + bias[i % columns] : sum;
    }
}
