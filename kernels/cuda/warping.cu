// Pictures turned, shifted, sheared and stretched: each thread reads one number of the result where it comes from.
#include "common.cuh"

enum FillMode { CONSTANT, NEAREST, REFLECT, WRAP };

// first + a*i + b*j, each product and sum rounded on its own: a fused multiply-add would read other cells.
__device__ __forceinline__ double coordinate(double first, double a, double b, int i, int j) {
    return __dadd_rn(__dadd_rn(first, __dmul_rn(a, i)), __dmul_rn(b, j));
}

// A coordinate within 0..size-1.
__device__ double bring_in(double r, int size, int fill_mode) {
    double last = size - 1;
    if (fill_mode == REFLECT && (r < 0 || r > last)) {
        double around = fmod(r < 0 ? -1 - r : r, 2.0 * size);
        r = around >= size ? 2.0 * size - 1 - around : around;
    }
    if (fill_mode == WRAP && size > 1) {
        if (r < 0) r = __dadd_rn(r, __dmul_rn(last, trunc(-r / last) + 1));
        else if (r > last) r = __dadd_rn(r, -__dmul_rn(last, trunc(r / last)));
    }
    return fmin(fmax(r, 0.0), last);
}

template <class T>
__global__ void affine_warp(
    const T* pictures, const double* matrices, const double* offsets, T* y, int count, int height, int width,
    Divider rows, Divider columns, Divider channels, int order, int fill_mode, T cval
) {
    for (int index = first_element(); index < count; index += element_step()) {
        int n = index;
        int c = channels.split(n), j = columns.split(n), i = rows.split(n), depth = channels.divisor;
        const double* m = matrices + 4 * (int64)n;
        double r = coordinate(offsets[2 * n], m[0], m[1], i, j), s = coordinate(offsets[2 * n + 1], m[2], m[3], i, j);
        if (fill_mode == CONSTANT && (r < 0 || r > height - 1 || s < 0 || s > width - 1)) {
            y[index] = cval;
            continue;
        }
        r = bring_in(r, height, fill_mode);
        s = bring_in(s, width, fill_mode);
        const T* picture = pictures + (int64)n * height * width * depth + c;
        if (order == 0) {
            int nearest_r = min((int)floor(r + 0.5), height - 1), nearest_s = min((int)floor(s + 0.5), width - 1);
            y[index] = picture[((int64)nearest_r * width + nearest_s) * depth];
            continue;
        }
        int r0 = (int)r, s0 = (int)s, r1 = min(r0 + 1, height - 1), s1 = min(s0 + 1, width - 1);
        double down = r - r0, along = s - s0;
        double upper = (1 - along) * picture[((int64)r0 * width + s0) * depth] +
                       along * picture[((int64)r0 * width + s1) * depth];
        double lower = (1 - along) * picture[((int64)r1 * width + s0) * depth] +
                       along * picture[((int64)r1 * width + s1) * depth];
        y[index] = (T)((1 - down) * upper + down * lower);
    }
}
