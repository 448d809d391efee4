"""Every differentiable operation on device arrays: values and gradients are the processor's, and stay on the device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ml_dtypes  # noqa: F401 - makes "bfloat16" a name of a type
import numpy as np
import pytest

import minicnn.functional as F
from minicnn.autograd import Tensor
from tests.cuda_on_host import device
from tests.cuda_on_host.launching import Settings
from tests.functional.operations import MASK, OPERATIONS, ROWS, listed

pytestmark = pytest.mark.gpu

# Their lambdas hold arrays of the host, or a type that no device has; below they have their own.
ON_THE_HOST = {"where", "index with repeated rows", "index with a mask", "cast"}


@pytest.fixture
def cupy() -> Iterator[Any]:
    Settings.thorough = False
    with device.present() as module:
        yield module
    Settings.thorough = True


def values_and_gradients(call: Any, inputs: list[Any], place: Any) -> list[Any]:
    """The arrays that come out, and the gradients by all inputs for fixed weights of the outputs."""
    tensors = [Tensor(place(x), requires_grad=True) for x in inputs]
    outputs = [y for y in listed(call(*tensors)) if y.requires_grad]
    generator = np.random.default_rng(1)
    total: Any = 0.0
    for y in outputs:
        total = total + F.sum(y * place(generator.standard_normal(y.shape).astype(y.dtype)))
    total.backward()
    return [y.data for y in outputs] + [x.grad.data for x in tensors if x.grad is not None]


def check(cupy: Any, call: Any, inputs: list[np.ndarray], call_there: Any = None) -> None:
    expected = values_and_gradients(call, inputs, np.asarray)
    before = getattr(cupy, "transfers", None) and cupy.transfers.to_host
    found = values_and_gradients(call_there or call, inputs, cupy.asarray)
    if before is not None:
        assert cupy.transfers.to_host == before, "something was copied to the host"
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert isinstance(one, cupy.ndarray) and one.dtype == other.dtype
        np.testing.assert_allclose(one.get(), other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", sorted(set(OPERATIONS) - ON_THE_HOST))
def test_an_operation_and_its_gradients(cupy: Any, name: str) -> None:
    check(cupy, OPERATIONS[name].call, OPERATIONS[name].inputs())


def test_bfloat16_stays_so_wherever_float16_does(cupy: Any) -> None:
    """CuPy widens bfloat16 beside plain numbers; no operation may, nor on the way back."""

    def kinds(name: str, dtype: str) -> list[Any]:
        tensors = [Tensor(cupy.asarray(x.astype(dtype)), requires_grad=True) for x in OPERATIONS[name].inputs()]
        outputs = listed(OPERATIONS[name].call(*tensors))
        for y in outputs:
            if y.requires_grad:
                y.backward(Tensor(cupy.ones(y.shape, y.dtype)), retain_graph=True)
        gradients = [x.grad for x in tensors if x.grad is not None]
        return [array.dtype.name.removeprefix("b") for array in (*outputs, *gradients)]

    for name in sorted(set(OPERATIONS) - ON_THE_HOST):
        assert kinds(name, "bfloat16") == kinds(name, "float16"), name


def test_masks_and_rows_of_the_device(cupy: Any) -> None:
    generator = np.random.default_rng(0)
    a, b, x = generator.standard_normal(3), generator.standard_normal((2, 1)), generator.standard_normal((3, 4))
    mask, rows = cupy.asarray(MASK), cupy.asarray(ROWS)
    check(cupy, lambda p, q: F.where(MASK, p, q), [a, b], lambda p, q: F.where(mask, p, q))
    check(cupy, lambda p: F.index(p, (ROWS, slice(1, None))), [x], lambda p: F.index(p, (rows, slice(1, None))))
    check(cupy, lambda p: F.cast(F.cast(p, "float32") * 2, p.dtype), [np.float32(x).astype(float)])


@pytest.mark.parametrize("name", ["conv2d", "max_pool2d", "softmax_cross_entropy", "batch_norm_training", "dense"])
def test_gradients_of_gradients(cupy: Any, name: str) -> None:
    from minicnn.autograd import grad

    inputs, found = OPERATIONS[name].inputs(), []
    for place in (np.asarray, cupy.asarray):
        tensors = [Tensor(place(x), requires_grad=True) for x in inputs]
        (first, *_) = grad(F.sum(F.square(listed(OPERATIONS[name].call(*tensors))[0])), tensors, create_graph=True)
        found.append(grad(F.sum(F.square(first)), tensors))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(other.numpy(), one.numpy(), rtol=1e-8, atol=1e-8)


CALLS = {"sign": F.sign, "one_hot": lambda x: F.one_hot(x.astype(int) % 3, 3)}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_operations_without_a_gradient(cupy: Any, call: Any) -> None:
    x = np.array([[-1.0, 0.0, 2.0], [4.0, -3.0, 7.0]])
    y = call(cupy.asarray(x))
    assert isinstance(y, cupy.ndarray)
    np.testing.assert_array_equal(y.get(), call(x))
