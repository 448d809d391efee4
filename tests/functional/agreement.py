"""Our operation and PyTorch's on the same numbers: values and all gradients must agree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from minicnn.autograd import Tensor, grad
from tests.oracles import torch as load_torch

TOLERANCE = {"float32": 1e-5, "float64": 1e-10}
dtypes = st.sampled_from(["float32", "float64"])
seeds = st.integers(0, 2**32 - 1)


def assert_close(actual: Any, expected: Any, dtype: str, what: str = "y") -> None:
    """max|a - b| <= tolerance * max|b|; where everything cancels, against the size of the terms, about 1."""
    a, b = np.asarray(actual), np.asarray(expected)
    assert a.dtype == dtype, f"{what} is {a.dtype}, expected {dtype}"
    assert a.shape == b.shape, f"{what}: shape {a.shape}, expected {b.shape}"
    np.testing.assert_array_equal(np.isfinite(a), np.isfinite(b), err_msg=what)
    finite = np.isfinite(b)
    if finite.any():
        error, scale = np.abs(a[finite] - b[finite]).max(), max(np.abs(b[finite]).max(), 1.0)
        assert error <= TOLERANCE[dtype] * scale, f"{what}: off by {error} of {scale}"
    np.testing.assert_array_equal(a[~finite], b[~finite], err_msg=what)


def theirs(array: np.ndarray, requires_grad: bool = False) -> Any:
    """A tensor of PyTorch's with these values, in float64: the oracle's own rounding is not ours."""
    return load_torch().tensor(array.astype(np.float64), requires_grad=requires_grad)


def compare(
    ours: Callable[..., Any],
    oracle: Callable[..., Any],
    inputs: Sequence[tuple[int, ...] | np.ndarray],
    dtype: str,
    seed: int,
) -> None:
    """Values and gradients of both functions; `inputs` are arrays, or shapes to be filled with normal numbers."""
    generator = np.random.default_rng(seed)
    arrays = [
        (generator.standard_normal(value) if isinstance(value, tuple) else value).astype(dtype) for value in inputs
    ]
    tensors = [Tensor(array, requires_grad=True) for array in arrays]
    others = [theirs(array, requires_grad=True) for array in arrays]
    y, z = ours(*tensors), oracle(*others)
    assert_close(y.data, z.detach().numpy(), dtype)
    weights = generator.standard_normal(y.shape).astype(dtype)
    expected = load_torch().autograd.grad(z, others, theirs(weights), allow_unused=True)
    for i, (gradient, other) in enumerate(zip(grad(y, tensors, [weights]), expected, strict=True)):
        zeros = np.zeros(arrays[i].shape)
        assert_close(gradient.data, zeros if other is None else other.numpy(), dtype, f"gradient of input {i}")
