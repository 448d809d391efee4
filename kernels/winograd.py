"""Winograd's convolution with few multiplications: its matrices, and where it may be used.

`F(m, r)` gives m neighbouring outputs of a one-dimensional correlation with r taps, y[i] = sum over k of g[k] * d[i+k],
from the n = m + r - 1 inputs d that they see, with n multiplications instead of m * r:

    y = A^T [(G g) * (B^T d)]                (* element by element)

and nested in itself it does tiles of m x m outputs of an r x r kernel with n * n multiplications instead of m*m * r*r:

    Y = A^T [(G g G^T) * (B^T d B)] A

(Winograd 1980, Arithmetic complexity of computations; Lavin and Gray 2015, Fast algorithms for convolutional neural
networks, section 4.) B^T and A^T need additions and a few multiplications by constants, once for each channel and once
for each filter; G g G^T is made once for all tiles. Only the middle, *, is done for every channel and filter together,
where it becomes n * n products of matrices (tiles, C) @ (C, F).

The matrices come from multiplying polynomials (Toom 1963, Cook 1966). The product of g(p) and z(p), with r and m
coefficients, has n of them, so its values at n points fix it: evaluate both at the points, multiply value by value,
interpolate. "At infinity", which counts as a point, a polynomial's value is its leading coefficient. Correlation is the
transpose of that product by z, and the transpose of "evaluate z, multiply, interpolate" is "B^T, multiply, A^T":

    A[i, k] = p_i^k                                           z's values, at infinity 0 ... 0 1
    G[i, k] = p_i^k / prod over j != i of (p_i - p_j)         g's values; the divisor belongs to the interpolation
    B^T[i]  = coefficients of prod over j != i of (x - p_j)   Lagrange's polynomials; at infinity all p_j multiply

In exact arithmetic any n different points will do. In floating point the powers of the points decide: large numbers
that cancel lose digits. `POINTS` are the usual 0, 1, -1, 2, -2, shrunk to three quarters, which divides the error of
F(4, 3) by four and leaves A and B exact in float32.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from typing import NamedTuple

import numpy as np

from .geometry import Pair

Rows = tuple[tuple[Fraction, ...], ...]


class Matrices(NamedTuple):
    """The three matrices of F(m, r), exact: A (n, m), B^T (n, n) and G (n, r) with n = m + r - 1."""

    A: Rows
    BT: Rows
    G: Rows


class Variant(NamedTuple):
    """F(m x m, r x r)."""

    outputs: int  # m
    taps: int  # r

    @property
    def size(self) -> int:
        """n, the side of an input tile, and the root of its number of multiplications.

        >>> Variant(4, 3).size
        6
        """
        return self.outputs + self.taps - 1

    def __str__(self) -> str:
        """As papers write it.

        >>> print(Variant(4, 3))
        F(4x4, 3x3)
        """
        return f"F({self.outputs}x{self.outputs}, {self.taps}x{self.taps})"


ALGORITHMS = ("auto", "direct", "winograd")
F23, F43, F25, F45 = Variant(2, 3), Variant(4, 3), Variant(2, 5), Variant(4, 5)
# The finite points by n; infinity is the last.
POINTS = {
    4: (Fraction(0), Fraction(1), Fraction(-1)),
    6: (Fraction(0), Fraction(3, 4), Fraction(-3, 4), Fraction(3, 2), Fraction(-3, 2)),
    8: (Fraction(0), Fraction(1, 2), Fraction(-1, 2), Fraction(1), Fraction(-1), Fraction(2), Fraction(-2)),
}


def product_of_roots(roots: tuple[Fraction, ...]) -> tuple[Fraction, ...]:
    """The coefficients of prod over j of (x - roots[j]), the constant first.

    >>> [int(c) for c in product_of_roots((Fraction(1), Fraction(-1)))]
    [-1, 0, 1]
    """
    coefficients = [Fraction(1)]
    for root in roots:
        shifted, scaled = [Fraction(0), *coefficients], [*coefficients, Fraction(0)]
        coefficients = [up - root * same for up, same in zip(shifted, scaled, strict=True)]
    return tuple(coefficients)


def toom_cook(m: int, r: int, points: tuple[Fraction, ...]) -> Matrices:
    """The matrices of F(m, r) from m + r - 2 different finite points and infinity; see the module.

    A filter of two taps over three numbers with three multiplications instead of four:

    >>> A, BT, G = toom_cook(2, 2, (Fraction(0), Fraction(1)))
    >>> g, d = [5, 7], [1, 2, 3]
    >>> def times(rows, vector):
    ...     return [sum(a * b for a, b in zip(row, vector)) for row in rows]
    >>> products = [a * b for a, b in zip(times(G, g), times(BT, d))]
    >>> [int(y) for y in times(zip(*A), products)], [5 * 1 + 7 * 2, 5 * 2 + 7 * 3]
    ([19, 31], [19, 31])
    """
    if len(set(points)) != m + r - 2:
        raise ValueError(f"toom_cook: F({m}, {r}) takes {m + r - 2} different finite points, got {list(points)}")
    A, BT, G = [], [], []
    for point in points:
        others = tuple(other for other in points if other != point)
        divisor = Fraction(1)
        for other in others:
            divisor *= point - other
        A.append(tuple(point**k for k in range(m)))
        G.append(tuple(point**k / divisor for k in range(r)))
        BT.append((*product_of_roots(others), Fraction(0)))
    zero, one = Fraction(0), Fraction(1)
    A.append((*(zero,) * (m - 1), one))
    G.append((*(zero,) * (r - 1), one))
    BT.append(product_of_roots(points))
    return Matrices(tuple(A), tuple(BT), tuple(G))


@cache
def matrices(variant: Variant) -> Matrices:
    """Those that the kernels use.

    >>> [[str(entry) for entry in row] for row in matrices(F23).BT]
    [['-1', '0', '1', '0'], ['0', '1', '1', '0'], ['0', '-1', '1', '0'], ['0', '-1', '0', '1']]
    """
    return toom_cook(variant.outputs, variant.taps, POINTS[variant.size])


@cache
def kernel_transform(variant: Variant) -> np.ndarray:
    """G g G^T as one matrix, (n*n, r*r) in float64, that multiplies a kernel's taps in reading order."""
    G = np.array([[float(entry) for entry in row] for row in matrices(variant).G])
    return np.kron(G, G)


def obstacle(kernel_size: Pair, strides: Pair, dilation: Pair, groups: int) -> str:
    """Why a convolution cannot be done by Winograd's algorithm; an empty string if it can.

    >>> obstacle((3, 3), (1, 1), (1, 1), 1)
    ''
    >>> obstacle((3, 3), (2, 2), (1, 1), 1)
    'strides of (2, 2) instead of 1'
    """
    if kernel_size not in ((3, 3), (5, 5)):
        return f"a kernel of {kernel_size[0]}x{kernel_size[1]} instead of 3x3 or 5x5"
    if strides != (1, 1):
        return f"strides of {strides} instead of 1"
    if dilation != (1, 1):
        return f"a dilation of {dilation} instead of 1"
    return f"{groups} groups instead of 1" if groups != 1 else ""
