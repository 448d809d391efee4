// The activations of fused blocks, and their derivatives as functions of their own output.
#pragma once

#include "common.cuh"

// In the order of ACTIVATIONS in composition.py.
enum Activation { LINEAR, RELU, LEAKY_RELU, ELU, SIGMOID, TANH };

template <class T>
__device__ T activate(int kind, T x, T alpha) {
    switch (kind) {
        case RELU: return x <= 0 ? (T)0 : x;  // NaN stays
        case LEAKY_RELU: return x >= 0 ? x : alpha * x;
        case ELU: return x > 0 ? x : alpha * exponential_less_one(x);
        case SIGMOID: {
            T e = exponential(x >= 0 ? -x : x);  // of negative numbers alone: nothing overflows
            return (x >= 0 ? (T)1 : e) / (1 + e);
        }
        case TANH: return hyperbolic_tangent(x);
        default: return x;
    }
}

// gy times the derivative where the output is y. Where the slope is zero nothing passes, not even a NaN.
template <class T>
__device__ T activation_gradient(int kind, T gy, T y, T alpha) {
    T slope = 1;
    switch (kind) {
        case RELU: slope = y > 0 ? 1 : 0; break;
        case LEAKY_RELU: slope = y >= 0 ? (T)1 : alpha; break;
        case ELU: slope = y > 0 ? (T)1 : y + alpha; break;
        case SIGMOID: slope = y * (1 - y); break;
        case TANH: slope = 1 - y * y; break;
        default: break;
    }
    return slope != 0 ? gy * slope : (T)0;
}
