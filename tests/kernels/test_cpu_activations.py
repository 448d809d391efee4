"""The exponentials inside fused blocks, against NumPy's in a wider format."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn.kernels.cpu.activations import NAMES, activate
from minicnn.kernels.cpu.cache import compiled

ALPHA = 0.375  # exact in every format


@compiled
def _activate(values, kind, alpha):
    activate(values, kind, alpha)


def activated(values: np.ndarray, activation: str) -> np.ndarray:
    result = values.copy()
    _activate(result, NAMES.index(activation), ALPHA)
    return result


def exact(values: np.ndarray, activation: str) -> np.ndarray:
    wide = values.astype(np.float64 if values.dtype == np.float32 else np.longdouble)
    if activation == "tanh":
        return np.tanh(wide)
    if activation == "sigmoid":
        return 1 / (1 + np.exp(-wide))
    return np.where(wide > 0, wide, ALPHA * np.expm1(np.minimum(wide, 0)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ["elu", "sigmoid", "tanh"])
def test_exponentials_are_right_to_a_few_units_in_the_last_place(activation: str, dtype: str) -> None:
    if dtype == "float64" and np.finfo(np.longdouble).eps >= np.finfo(np.float64).eps:
        pytest.skip("this platform's long double is no wider than float64")
    generator = np.random.default_rng(0)
    scales = (1e-30, 1e-6, 1e-3, 0.1, 1.0, 5.0, 20.0)
    values = np.concatenate([scale * generator.standard_normal(3000) for scale in scales]).astype(dtype)
    truth = exact(values, activation)
    unit = np.spacing(np.abs(truth).astype(dtype))
    assert (np.abs(activated(values, activation) - truth) / unit).max() < 4


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ["elu", "sigmoid", "tanh"])
def test_exponentials_far_out(activation: str, dtype: str) -> None:
    ends = {"elu": (-ALPHA, 1e30), "sigmoid": (0, 1), "tanh": (-1, 1)}[activation]
    for size in (1e3, 1e30, np.inf):
        values = np.array([-size, size] * 9, dtype)
        expected = np.array([ends[0], size if activation == "elu" else ends[1]] * 9, dtype)
        np.testing.assert_array_equal(activated(values, activation), expected)
    assert np.isnan(activated(np.full(19, np.nan, dtype), activation)).all()
