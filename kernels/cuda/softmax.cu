// Softmax along the rows of a matrix, LANES lanes of a warp to a row: each looks at every LANES-th column, and they agree
// by shuffles. The fewer columns, the more rows a warp has. A lane reads EACH columns at once and keeps them; only of a
// row with more than that it reads again.
#include "common.cuh"

constexpr uint32 ALL_LANES = 0xFFFFFFFFu;
constexpr int EACH = 4;

template <int LANES, class T>
__device__ __forceinline__ T sum_of_lanes(T value) {
    for (int mask = LANES / 2; mask; mask /= 2) value += __shfl_xor_sync(ALL_LANES, value, mask);
    return value;
}

template <int LANES, class T>
__device__ __forceinline__ T most_of_lanes(T value) {
    for (int mask = LANES / 2; mask; mask /= 2) {
        T other = __shfl_xor_sync(ALL_LANES, value, mask);
        value = other > value ? other : value;
    }
    return value;
}

// One lane's share of a row: of `columns` columns, which are none where there is no row, for its warp works together.
template <int LANES>
struct Share {
    static constexpr int SPAN = LANES * EACH;
    int row, lane, columns;
    bool exists;
    __device__ __forceinline__ Share(int rows, int columns) {
        row = (blockIdx.x * blockDim.x + threadIdx.x) / LANES;
        lane = threadIdx.x % LANES;
        exists = row < rows;
        this->columns = exists ? columns : 0;
    }
    __device__ __forceinline__ bool again() const { return columns > SPAN; }
    // EACH numbers of the SPAN that begin at a column, and `other` beyond the end.
    template <class T>
    __device__ __forceinline__ void read(T (&to)[EACH], const T* from, int begin, T other) const {
        for (int i = 0; i < EACH; ++i) {
            int k = begin + lane + i * LANES;
            to[i] = k < columns ? from[(int64)row * columns + k] : other;
        }
    }
    template <class T>
    __device__ __forceinline__ void write(T* to, int begin, const T (&values)[EACH]) const {
        for (int i = 0; i < EACH; ++i) {
            int k = begin + lane + i * LANES;
            if (k < columns) to[(int64)row * columns + k] = values[i];
        }
    }
};

// With targets also the cross-entropy of each row. A NaN reaches its whole row through the sum.
template <class T, int LANES>
__global__ void softmax(const T* x, const T* targets, T* probabilities, T* losses, int rows, int columns) {
    typedef Share<LANES> Row;
    Row row(rows, columns);
    T value[EACH], power[EACH], target[EACH], most = minus_infinity<T>(), total = 0, loss = 0;
    for (int begin = 0; begin < row.columns; begin += Row::SPAN) {
        row.read(value, x, begin, minus_infinity<T>());
        for (int i = 0; i < EACH; ++i) most = value[i] > most ? value[i] : most;
    }
    most = most_of_lanes<LANES>(most);
    for (int begin = 0; begin < row.columns; begin += Row::SPAN) {
        if (row.again()) row.read(value, x, begin, minus_infinity<T>());
        for (int i = 0; i < EACH; ++i) total += power[i] = exponential(value[i] - most);
    }
    total = sum_of_lanes<LANES>(total);
    T scale = logarithm(total);
    for (int begin = 0; begin < row.columns; begin += Row::SPAN) {
        if (row.again()) {
            row.read(value, x, begin, minus_infinity<T>());
            for (int i = 0; i < EACH; ++i) power[i] = exponential(value[i] - most);
        }
        for (int i = 0; i < EACH; ++i) power[i] /= total;
        row.write(probabilities, begin, power);
        if (!targets) continue;
        row.read(target, targets, begin, (T)0);
        for (int i = 0; i < EACH; ++i) {
            if (target[i] != 0) loss += target[i] * (scale - (value[i] - most));
        }
    }
    if (!targets) return;
    loss = sum_of_lanes<LANES>(loss);
    if (row.lane == 0 && row.exists) losses[row.row] = loss;
}

// gy times (the sum of the row's targets times its probability, less the target).
template <class T, int LANES>
__global__ void cross_entropy_gradient(
    const T* gy, const T* probabilities, const T* targets, T* gx, int rows, int columns
) {
    typedef Share<LANES> Row;
    Row row(rows, columns);
    T target[EACH], value[EACH], total = 0;
    for (int begin = 0; begin < row.columns; begin += Row::SPAN) {
        row.read(target, targets, begin, (T)0);
        for (int i = 0; i < EACH; ++i) total += target[i];
    }
    total = sum_of_lanes<LANES>(total);
    T got = row.exists ? gy[row.row] : 0;
    for (int begin = 0; begin < row.columns; begin += Row::SPAN) {
        if (row.again()) row.read(target, targets, begin, (T)0);
        row.read(value, probabilities, begin, (T)0);
        for (int i = 0; i < EACH; ++i) value[i] = got * (value[i] * total - target[i]);
        row.write(gx, begin, value);
    }
}
