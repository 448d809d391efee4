// Softmax along the rows of a matrix, a warp to a row: its lanes look at every 32nd column and agree by shuffles.
#include "common.cuh"

constexpr int WARP = 32;
constexpr uint32 ALL_LANES = 0xFFFFFFFFu;

template <class T>
__device__ T sum_of_lanes(T value) {
    for (int mask = WARP / 2; mask; mask /= 2) value += __shfl_xor_sync(ALL_LANES, value, mask);
    return value;
}

template <class T>
__device__ T most_of_lanes(T value) {
    for (int mask = WARP / 2; mask; mask /= 2) {
        T other = __shfl_xor_sync(ALL_LANES, value, mask);
        value = other > value ? other : value;
    }
    return value;
}

// With targets also the cross-entropy of each row. A NaN reaches its whole row through the sum.
template <class T>
__global__ void softmax(const T* x, const T* targets, T* probabilities, T* losses, int rows, int columns) {
    int row = blockIdx.x * (blockDim.x / WARP) + threadIdx.x / WARP, lane = threadIdx.x % WARP;
    if (row >= rows) return;  // the whole warp
    x += (int64)row * columns;
    probabilities += (int64)row * columns;
    T most = minus_infinity<T>();
    for (int k = lane; k < columns; k += WARP) most = x[k] > most ? x[k] : most;
    most = most_of_lanes(most);
    T total = 0;
    for (int k = lane; k < columns; k += WARP) total += exponential(x[k] - most);
    total = sum_of_lanes(total);
    for (int k = lane; k < columns; k += WARP) probabilities[k] = exponential(x[k] - most) / total;
    if (!targets) return;
    targets += (int64)row * columns;
    T loss = 0;
    for (int k = lane; k < columns; k += WARP) loss += targets[k] * (logarithm(total) - (x[k] - most));
    loss = sum_of_lanes(loss);
    if (lane == 0) losses[row] = loss;
}

// gy times (the sum of the row's targets times its probability, less the target).
template <class T>
__global__ void cross_entropy_gradient(
    const T* gy, const T* probabilities, const T* targets, T* gx, int rows, int columns
) {
    int row = blockIdx.x * (blockDim.x / WARP) + threadIdx.x / WARP, lane = threadIdx.x % WARP;
    if (row >= rows) return;  // the whole warp
    int64 begin = (int64)row * columns;
    T total = 0;
    for (int k = lane; k < columns; k += WARP) total += targets[begin + k];
    total = sum_of_lanes(total);
    for (int k = lane; k < columns; k += WARP) {
        gx[begin + k] = gy[row] * (probabilities[begin + k] * total - targets[begin + k]);
    }
}
