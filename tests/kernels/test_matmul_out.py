"""`matmul(..., out=)`: the same product, written where the caller says."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn.kernels import dispatch


@pytest.mark.parametrize("name", dispatch.NAMES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("M", "K", "N"), [(1, 5, 7), (3, 64, 40), (30, 9, 17), (250, 6, 33), (2, 0, 3)])
@pytest.mark.parametrize("transposed", [False, True])
def test_the_product_is_written_to_out(name: str, dtype: str, M: int, K: int, N: int, transposed: bool) -> None:
    module = dispatch.load(name)
    generator = np.random.default_rng(M + K + N)
    a, b = generator.standard_normal((M, K)).astype(dtype), generator.standard_normal((K, N)).astype(dtype)
    if transposed:
        a, b = np.asfortranarray(a), np.asfortranarray(b)
    bias = generator.standard_normal(N).astype(dtype)
    for each in (None, bias):
        out = np.full((M, N), np.nan, dtype)
        assert module.matmul(a, b, each, out) is out
        np.testing.assert_array_equal(out, module.matmul(a, b, each))
        expected = a.astype(float) @ b + (0 if each is None else each)
        np.testing.assert_allclose(out, expected, atol=1e-5 if dtype == "float32" else 1e-12)
