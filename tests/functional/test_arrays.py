"""Arithmetic, reductions and shaping: NumPy's values and rules, and gradients where NumPy has none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

import minicnn.functional as F
from minicnn.autograd import Tensor, grad
from tests.functional.agreement import assert_close, compare, dtypes, seeds
from tests.oracles import torch as load_torch


def slopes(function: Callable[..., Any], *arrays: Any) -> list[list[float]]:
    """The gradients of the sum of a function's values, as lists."""
    tensors = [Tensor(np.array(array, dtype=float), requires_grad=True) for array in arrays]
    y = function(*tensors)
    return [g.data.tolist() for g in grad(y, tensors, [np.ones(y.shape)])]


# --- arithmetic ------------------------------------------------------------------------------------------------------

BINARY = {
    "add": np.add, "subtract": np.subtract, "multiply": np.multiply, "divide": np.divide, "power": np.power,
    "maximum": np.maximum, "minimum": np.minimum,
}  # fmt: skip


@given(shapes=st_numpy.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, min_side=0, max_side=3), dtype=dtypes,
       seed=seeds)  # fmt: skip
@pytest.mark.parametrize("name", BINARY)
def test_binary_arithmetic_broadcasts_as_numpy_and_pytorch(name: str, shapes: Any, dtype: str, seed: int) -> None:
    generator = np.random.default_rng(seed)
    a, b = (np.asarray(0.5 + generator.random(shape)) for shape in shapes.input_shapes)
    function = getattr(F, name)
    assert_close(function(a, b), BINARY[name](a, b), "float64")
    compare(function, getattr(load_torch(), {"power": "pow"}.get(name, name)), [a, b], dtype, seed)


@given(shape=st_numpy.array_shapes(max_dims=3, min_side=0, max_side=4), dtype=dtypes, seed=seeds)
@pytest.mark.parametrize("name", ["abs", "exp", "log", "negative", "sqrt", "square"])
def test_unary_arithmetic_against_pytorch(name: str, shape: tuple[int, ...], dtype: str, seed: int) -> None:
    generator = np.random.default_rng(seed)
    x = generator.random(shape) + 0.1 if name in ("log", "sqrt") else generator.standard_normal(shape)
    compare(getattr(F, name), getattr(load_torch(), name), [x], dtype, seed)


def test_equal_operands_of_maximum_and_minimum_share_the_gradient() -> None:
    """As in PyTorch."""
    assert slopes(F.maximum, [1, 2, 3], [3, 2, 1]) == [[0, 0.5, 1], [1, 0.5, 0]]
    assert slopes(F.minimum, [1, 2, 3], [3, 2, 1]) == [[1, 0.5, 0], [0, 0.5, 1]]
    torch = load_torch()
    a, b = torch.ones(1, requires_grad=True), torch.ones(1, requires_grad=True)
    torch.maximum(a, b).sum().backward()
    assert (a.grad.item(), b.grad.item()) == (0.5, 0.5)


def test_clip_passes_the_gradient_at_its_limits() -> None:
    """As in PyTorch."""
    assert slopes(lambda x: F.clip(x, -1, 1), [-2, -1, 0, 1, 2]) == [[0, 1, 1, 1, 0]]
    np.testing.assert_array_equal(F.clip(np.array([-3, 0, 3]), None, 1), [-3, 0, 1])
    np.testing.assert_array_equal(F.clip(np.array([-3, 0, 3]), -1, None), [-1, 0, 3])
    x = np.array([-3.0, 3.0])
    without = F.clip(x, None, None)
    np.testing.assert_array_equal(without, x)
    assert not np.shares_memory(without, x), "a result of its own, like any other"


def test_where_sends_the_gradient_to_what_was_taken() -> None:
    chosen = np.array([True, False])
    assert slopes(lambda a, b: F.where(chosen, a, b), [1, 2], [3, 4]) == [[1, 0], [0, 1]]
    assert slopes(lambda a: F.where(chosen, a, 0.0), 5.0) == [1]


def test_where_keeps_a_nan_that_was_not_taken_out_of_the_gradient() -> None:
    x = Tensor(np.array([0.0, 4.0]), requires_grad=True)
    with np.errstate(divide="ignore"):
        y = F.where(x > 0, F.log(F.where(x > 0, x, 1.0)), 0.0)
    assert grad(y, x, [np.ones(2)])[0].data.tolist() == [0, 0.25]


def test_where_takes_types_from_its_operands() -> None:
    condition = np.array([True, False])
    assert F.where(condition, np.float32([1, 2]), 0.0).dtype == "float32"
    assert F.where(condition, np.float32([1, 2]), np.float64([1, 2])).dtype == "float64"
    assert F.where(Tensor(condition), np.float32([1, 2]), 0).dtype == "float32"


def test_sign_is_a_constant() -> None:
    x = Tensor([-2.0, 0.0, 3.0], requires_grad=True)
    y = F.sign(x)
    assert isinstance(y, Tensor) and not y.requires_grad
    np.testing.assert_array_equal(y.data, [-1, 0, 1])
    assert type(F.sign(np.ones(2))) is np.ndarray


# --- reductions ------------------------------------------------------------------------------------------------------

REDUCTIONS = {"sum": np.sum, "mean": np.mean, "max": np.max, "min": np.min}


@given(data=st.data(), shape=st_numpy.array_shapes(max_dims=4, max_side=4), dtype=dtypes, seed=seeds,
       keepdims=st.booleans())  # fmt: skip
@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions_against_numpy(
    name: str, data: st.DataObject, shape: tuple[int, ...], dtype: str, seed: int, keepdims: bool
) -> None:
    axis = data.draw(st.one_of(st.none(), st.integers(-len(shape), len(shape) - 1),
                               st_numpy.valid_tuple_axes(len(shape))))  # fmt: skip
    x = np.random.default_rng(seed).permutation(int(np.prod(shape))).reshape(shape).astype(dtype)
    y = getattr(F, name)(x, axis, keepdims)
    assert_close(y, REDUCTIONS[name](x.astype("float64"), axis=axis, keepdims=keepdims), dtype)
    # The gradient: each element's share, by the definition.
    tensor = Tensor(x, requires_grad=True)
    z = getattr(F, name)(tensor, axis, keepdims)
    weights = np.asarray(np.random.default_rng(seed).standard_normal(z.shape)).astype(dtype)
    (g,) = grad(z, tensor, [weights])
    axes = tuple(range(len(shape))) if axis is None else axis
    kept = np.sum(x.astype("float64"), axis=axes, keepdims=True).shape
    expected = np.broadcast_to(weights.astype("float64").reshape(kept), shape)
    if name == "mean":
        expected = expected / (x.size / np.prod(kept))
    elif name != "sum":
        expected = expected * (x == REDUCTIONS[name](x, axis=axes, keepdims=True))
    assert_close(g.data, expected, dtype, "gradient")


def test_elements_that_tie_share_the_gradient_of_max_and_min() -> None:
    assert slopes(lambda x: F.max(x, axis=1), [[1, 3, 3], [2, 2, 2]]) == [[[0, 0.5, 0.5], [1 / 3] * 3]]
    assert slopes(F.min, [4, 1, 1, 1, 1]) == [[0, 0.25, 0.25, 0.25, 0.25]]


def test_sums_of_nothing() -> None:
    assert F.sum(np.zeros((0, 3)), axis=0).tolist() == [0, 0, 0]
    assert F.sum(np.zeros((0, 3))) == 0
    assert slopes(lambda x: F.sum(x, axis=0), np.zeros((0, 2))) == [[]]
    with pytest.raises(ValueError, match=r"max: there is no element along axis 0 of \(0, 3\)"):
        F.max(np.zeros((0, 3)), axis=0)
    with pytest.raises(ValueError, match=r"min: there is no element along axis None of \(0,\)"):
        F.min(np.zeros(0))


def test_means_of_whole_numbers_are_not_whole() -> None:
    assert F.mean(np.array([1, 2])) == 1.5
    assert F.sum(np.array([[1, 2], [3, 4]]), axis=0).tolist() == [4, 6]
    assert F.sum(np.array([[True, True], [True, False]]), axis=0).tolist() == [2, 1]


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("axis", [2, -3, (0, 0), (0, -2), (0, 5)], ids=str)
def test_axes_that_do_not_exist_or_repeat(name: str, axis: Any) -> None:
    with pytest.raises(ValueError, match=rf"{name}: axis .* does not fit an array with 2 axes"):
        getattr(F, name)(np.ones((2, 3)), axis=axis)


def test_a_nan_in_max_shows_and_divides_nothing_by_zero() -> None:
    x = Tensor(np.array([1.0, np.nan]), requires_grad=True)
    y = F.max(x)
    assert np.isnan(y.item())
    assert grad(y, x)[0].data.tolist() == [0, 0]


# --- shaping ---------------------------------------------------------------------------------------------------------

CUBE = np.arange(24.0).reshape(2, 3, 4)
SHAPING: dict[str, tuple[Callable[[Any], Any], np.ndarray]] = {
    "reshape": (lambda x: F.reshape(x, 4, 6), CUBE.reshape(4, 6)),
    "reshape, one worked out": (lambda x: F.reshape(x, (-1, 8)), CUBE.reshape(-1, 8)),
    "flatten": (F.flatten, CUBE.reshape(2, 12)),
    "transpose": (F.transpose, CUBE.T),
    "transpose, axes": (lambda x: F.transpose(x, (1, 2, 0)), CUBE.transpose(1, 2, 0)),
    "transpose, negative axes": (lambda x: F.transpose(x, (-1, 0, 1)), CUBE.transpose(2, 0, 1)),
    "index": (lambda x: F.index(x, 1), CUBE[1]),
    "index, slices": (lambda x: F.index(x, (slice(None), slice(None, None, -2), 1)), CUBE[:, ::-2, 1]),
    "index, None": (lambda x: F.index(x, (None, ..., None)), CUBE[None, ..., None]),
    "index, rows": (lambda x: F.index(x, ([0, 0, 1], 2)), CUBE[[0, 0, 1], 2]),
    "index, mask": (lambda x: F.index(x, CUBE > 7), CUBE[CUBE > 7]),
    "index, numbers from NumPy": (lambda x: F.index(x, (np.int64(1), np.int32(2))), CUBE[1, 2]),
    "index, a list": (lambda x: F.index(x, [1, 1]), CUBE[[1, 1]]),
    "concatenate": (lambda x: F.concatenate([x, 2 * x], axis=1), np.concatenate([CUBE, 2 * CUBE], axis=1)),
    "concatenate, last axis": (lambda x: F.concatenate([x, x[..., :1]]), np.concatenate([CUBE, CUBE[..., :1]], -1)),
    "stack": (lambda x: F.stack([x, x + 1], axis=2), np.stack([CUBE, CUBE + 1], axis=2)),
    "stack, last axis": (lambda x: F.stack([x, x + 1], axis=-1), np.stack([CUBE, CUBE + 1], axis=-1)),
    "pad": (lambda x: F.pad(x, [(1, 0), (0, 2), (3, 1)], 5.0),
            np.pad(CUBE, [(1, 0), (0, 2), (3, 1)], constant_values=5.0)),
    "broadcast_to": (lambda x: F.broadcast_to(x, (5, 2, 3, 4)), np.broadcast_to(CUBE, (5, 2, 3, 4))),
    "sum_to": (lambda x: F.sum_to(x, (3, 1)), CUBE.sum(axis=(0, 2)).reshape(3, 1)),
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPING)
def test_shaping_is_numpys_and_linear(name: str) -> None:
    """The gradient of a map that only moves and adds: <J.T v, u> = <v, J u>."""
    function, expected = SHAPING[name]
    y = function(CUBE)
    np.testing.assert_array_equal(y, expected)
    tensor, generator = Tensor(CUBE, requires_grad=True), np.random.default_rng(0)
    z = function(tensor)
    np.testing.assert_array_equal(z.data, expected)
    v, u = generator.standard_normal(z.shape), generator.standard_normal(CUBE.shape)
    moved = function(CUBE + u) - expected
    assert np.sum(grad(z, tensor, [v])[0].data * u) == pytest.approx(np.sum(v * moved))


def test_views_copy_nothing() -> None:
    for function in (F.flatten, F.transpose, lambda x: F.index(x, 0), lambda x: F.broadcast_to(x, (2, 2, 3, 4))):
        assert np.shares_memory(function(CUBE), CUBE)


def test_cast_there_and_back() -> None:
    x = Tensor(np.float32([1, 2]), requires_grad=True)
    y = F.cast(x, "float64")
    assert y.dtype == "float64"
    F.sum(y * y).backward()
    assert x.grad.dtype == "float32"
    np.testing.assert_array_equal(x.grad.data, [2, 4])
    assert F.cast(x, "float32") is x
    assert F.cast(np.array([1.7]), "int64").tolist() == [1]


def test_one_hot() -> None:
    np.testing.assert_array_equal(F.one_hot([[0, 2], [1, 1]], 3), np.eye(3)[[[0, 2], [1, 1]]])
    assert F.one_hot(np.zeros((0,), int), 4).shape == (0, 4)
    assert F.one_hot([1], 2, dtype="float64").dtype == "float64"
    assert isinstance(F.one_hot(Tensor(np.array([1])), 2), Tensor)


@pytest.mark.parametrize("labels", [[3], [-1], [0, 7]], ids=str)
def test_one_hot_of_labels_outside_the_classes(labels: list[int]) -> None:
    with pytest.raises(ValueError, match=r"one_hot: labels must lie in 0 .. 2, got values from .* to"):
        F.one_hot(labels, 3)


def test_one_hot_of_labels_with_a_fraction() -> None:
    with pytest.raises(ValueError, match=r"one_hot: labels must be whole numbers, got 0\.5"):
        F.one_hot([1.0, 0.5], 2)
    np.testing.assert_array_equal(F.one_hot([1.0, 0.0], 2), [[0, 1], [1, 0]])


def test_what_is_no_number_is_unequal_to_all() -> None:
    x = Tensor(np.array([[1.0, 2.0]], np.float32))
    for other in (None, "a", object(), [None]):
        np.testing.assert_array_equal(x == other, [[False, False]])
        np.testing.assert_array_equal(x != other, [[True, True]])
    assert None not in [Tensor(1.0)] and Tensor(1.0) not in [None]
    np.testing.assert_array_equal(x == 1, [[True, False]])
    with pytest.raises(TypeError, match="expected an array of numbers, got NoneType"):
        x < None  # noqa: B015


def test_im2col_bytes_says_what_im2col_takes() -> None:
    assert F.im2col_bytes((2, 5, 5, 3), 3, dtype="float64") == F.im2col(np.zeros((2, 5, 5, 3)), 3).nbytes
