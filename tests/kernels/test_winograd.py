"""The arithmetic of Winograd's algorithm, exact: matrices in fractions, before any kernel rounds."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.kernels import winograd
from minicnn.kernels.winograd import F23, F25, F43, F45, Variant

VARIANTS = (F23, F43, F25, F45)
numbers = st.integers(-9, 9).map(Fraction)


def product(rows: Sequence[Sequence[Fraction]], vector: Sequence[Fraction]) -> list[Fraction]:
    return [sum((a * b for a, b in zip(row, vector, strict=True)), Fraction(0)) for row in rows]


def few_multiplications(matrices: winograd.Matrices, g: Sequence[Fraction], d: Sequence[Fraction]) -> list[Fraction]:
    A, BT, G = matrices
    products = [a * b for a, b in zip(product(G, g), product(BT, d), strict=True)]
    return product(list(zip(*A, strict=True)), products)


def correlation(g: Sequence[Fraction], d: Sequence[Fraction]) -> list[Fraction]:
    return [sum((t * d[i + k] for k, t in enumerate(g)), Fraction(0)) for i in range(len(d) - len(g) + 1)]


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@given(data=st.data())
def test_the_matrices_correlate_exactly(variant: Variant, data: st.DataObject) -> None:
    g = data.draw(st.lists(numbers, min_size=variant.taps, max_size=variant.taps))
    d = data.draw(st.lists(numbers, min_size=variant.size, max_size=variant.size))
    assert few_multiplications(winograd.matrices(variant), g, d) == correlation(g, d)


@given(data=st.data(), m=st.integers(1, 5), r=st.integers(1, 5))
def test_any_different_points_will_do(data: st.DataObject, m: int, r: int) -> None:
    points = st.lists(st.fractions(-3, 3, max_denominator=4), min_size=m + r - 2, max_size=m + r - 2, unique=True)
    matrices = winograd.toom_cook(m, r, tuple(data.draw(points)))
    g, d = (data.draw(st.lists(numbers, min_size=size, max_size=size)) for size in (r, m + r - 1))
    assert few_multiplications(matrices, g, d) == correlation(g, d)


def test_lavin_and_gray() -> None:
    """F(2, 3) as printed in section 4.1 of their paper, but for the signs that rows of B^T and G share."""
    A, BT, G = winograd.matrices(F23)
    assert [[abs(entry) for entry in row] for row in BT] == [[1, 0, 1, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 1, 0, 1]]
    half = Fraction(1, 2)
    assert [[abs(entry) for entry in row] for row in G] == [[1, 0, 0], [half] * 3, [half] * 3, [0, 0, 1]]
    assert [list(column) for column in zip(*A, strict=True)] == [[1, 1, 1, 0], [0, 1, -1, 1]]


@pytest.mark.parametrize("points", [(0, 1), (0, 1, 1), (0, 1, 2, 3)], ids=str)
def test_points_must_be_different_and_as_many_as_needed(points: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"toom_cook: F\(2, 3\) takes 3 different finite points, got"):
        winograd.toom_cook(2, 3, tuple(map(Fraction, points)))


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_a_and_b_are_exact_in_float32(variant: Variant) -> None:
    A, BT, _ = winograd.matrices(variant)
    assert all(Fraction(float(np.float32(float(entry)))) == entry for row in (*A, *BT) for entry in row)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_the_kernel_transform_is_g_on_both_sides(variant: Variant) -> None:
    G = np.array([[float(entry) for entry in row] for row in winograd.matrices(variant).G])
    g = np.random.default_rng(0).standard_normal((variant.taps, variant.taps))
    transformed = winograd.kernel_transform(variant) @ g.reshape(-1)
    np.testing.assert_allclose(transformed.reshape(variant.size, variant.size), G @ g @ G.T, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (((3, 3), (1, 1), (1, 1), 1), ""),
        (((5, 5), (1, 1), (1, 1), 1), ""),
        (((3, 5), (1, 1), (1, 1), 1), "a kernel of 3x5 instead of 3x3 or 5x5"),
        (((3, 3), (2, 1), (1, 1), 1), "strides of (2, 1) instead of 1"),
        (((3, 3), (1, 1), (1, 2), 1), "a dilation of (1, 2) instead of 1"),
        (((3, 3), (1, 1), (1, 1), 4), "4 groups instead of 1"),
    ],
)
def test_what_it_cannot_do(arguments: tuple, reason: str) -> None:
    assert winograd.obstacle(*arguments) == reason
