// One step of each optimiser over flat buffers: every number is read and written once.
#include "common.cuh"

template <class T>
__global__ void sgd(T* p, const T* g, T* velocity, int64 count, Number<T> rate, T momentum, int nesterov) {
    T learning_rate = rate.get();
    for (int64 i = first_element(); i < count; i += element_step()) {
        T step = learning_rate * g[i];
        if (!velocity) {
            p[i] -= step;
            continue;
        }
        T v = momentum * velocity[i] - step;
        velocity[i] = v;
        p[i] += nesterov ? momentum * v - step : v;
    }
}

template <class T>
__global__ void adam(
    T* p, const T* g, T* m, T* v, int64 count, Number<T> rate, Number<T> shrink, T rate_1, T rate_2, T epsilon
) {
    T alpha = rate.get(), decay = shrink.get();
    for (int64 i = first_element(); i < count; i += element_step()) {
        T first = m[i] + rate_1 * (g[i] - m[i]);
        T second = v[i] + rate_2 * (g[i] * g[i] - v[i]);
        m[i] = first;
        v[i] = second;
        T decayed = p[i] - decay * p[i];
        p[i] = decayed - alpha * first / (square_root(second) + epsilon);
    }
}

template <class T>
__global__ void rmsprop(
    T* p, const T* g, T* v, T* velocity, T* mean, int64 count, Number<T> step_size, T rho, T rate, T momentum, T epsilon
) {
    T learning_rate = step_size.get();
    for (int64 i = first_element(); i < count; i += element_step()) {
        T second = rho * v[i] + rate * (g[i] * g[i]);
        v[i] = second;
        T denominator = second + epsilon;
        if (mean) {
            T average = rho * mean[i] + rate * g[i];
            mean[i] = average;
            denominator -= average * average;
        }
        T update = learning_rate * g[i] / square_root(denominator);
        if (velocity) {
            update += momentum * velocity[i];
            velocity[i] = update;
        }
        p[i] -= update;
    }
}

template <class T>
__global__ void adagrad(T* p, const T* g, T* accumulator, int64 count, Number<T> rate, T epsilon) {
    T learning_rate = rate.get();
    for (int64 i = first_element(); i < count; i += element_step()) {
        T sum = accumulator[i] + g[i] * g[i];
        accumulator[i] = sum;
        p[i] -= learning_rate * g[i] / square_root(sum + epsilon);
    }
}
