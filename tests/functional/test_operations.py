"""What every operation owes, checked for each line of the table: gradients, types, arrays in and out."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import minicnn.functional as F
from minicnn.autograd import Function, GradientError, Tensor, grad, gradcheck, no_grad
from tests.functional.operations import OPERATIONS, WITHOUT_GRADIENT, Operation, listed

every_operation = pytest.mark.parametrize("name", OPERATIONS)


def test_the_table_is_complete() -> None:
    covered = {re.match(r"\w+", name)[0] for name in OPERATIONS} | WITHOUT_GRADIENT
    assert set(F.__all__) - covered == set()
    assert covered - set(F.__all__) == set()


# --- gradients -------------------------------------------------------------------------------------------------------


@every_operation
def test_gradients_to_second_order(name: str) -> None:
    operation = OPERATIONS[name]
    assert gradcheck(operation.call, operation.inputs(), order=2)


def functions_in_the_graph(operation: Operation) -> list[type[Function]]:
    """The classes of all nodes that lead from the inputs to the outputs."""
    tensors = [Tensor(array, requires_grad=True) for array in operation.inputs()]
    waiting = [output.node for output in listed(operation.call(*tensors))]
    nodes: dict[int, Any] = {}
    while waiting:
        node = waiting.pop()
        if node is not None and id(node) not in nodes:
            nodes[id(node)] = node
            waiting += [edge[0] for edge in node.edges if isinstance(edge, tuple)]
    return sorted({type(node) for node in nodes.values()}, key=lambda kind: kind.__name__)


def scale_gradients(monkeypatch: pytest.MonkeyPatch, kind: type[Function], factor: float) -> None:
    """Let the backward of a Function return its gradients times a factor."""
    backward = kind.backward

    def wrong(self: Function, *gradients: Any) -> Any:
        results = backward(self, *gradients)
        several = results if isinstance(results, tuple) else (results,)
        return tuple(None if result is None else F.multiply(result, factor) for result in several)

    monkeypatch.setattr(kind, "backward", wrong)


@pytest.mark.parametrize("factor", [0.0, 1.01], ids=["zeroed", "1 % off"])
@every_operation
def test_gradcheck_finds_a_wrong_gradient_in_any_part(
    name: str, factor: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checker is checked: gradients zeroed or scaled on purpose, in each Function that the operation is made of."""
    operation = OPERATIONS[name]
    kinds = functions_in_the_graph(operation)
    assert kinds
    for kind in kinds:
        with monkeypatch.context() as patch:
            scale_gradients(patch, kind, factor)
            with pytest.raises(GradientError):
                gradcheck(operation.call, operation.inputs())


def test_a_softmax_without_gradient_would_pass_with_weights_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Why gradcheck weights the outputs with random numbers: the rows of a softmax sum to 1, so their sum is flat."""
    from minicnn.functional.activations import Softmax

    scale_gradients(monkeypatch, Softmax, 0.0)
    x = OPERATIONS["softmax"].inputs()
    assert gradcheck(lambda x: F.sum(F.softmax(x)), x)
    with pytest.raises(GradientError, match="along a random direction the gradient says"):
        gradcheck(F.softmax, x)


@every_operation
def test_only_the_gradients_that_are_asked_for_come_back(name: str) -> None:
    """With one input alone requiring a gradient, it receives what it receives beside the others."""
    operation = OPERATIONS[name]
    arrays = operation.inputs()
    outputs = listed(operation.call(*(Tensor(array, requires_grad=True) for array in arrays)))
    generator = np.random.default_rng(1)
    weights = [generator.standard_normal(output.shape) for output in outputs]

    def gradients(needed: list[bool]) -> list[np.ndarray]:
        tensors = [Tensor(array, requires_grad=n) for array, n in zip(arrays, needed, strict=True)]
        pairs = [(y, v) for y, v in zip(listed(operation.call(*tensors)), weights, strict=True) if y.requires_grad]
        wanted = [tensor for tensor in tensors if tensor.requires_grad]
        return [g.data for g in grad([y for y, _ in pairs], wanted, [v for _, v in pairs])]

    together = gradients([True] * len(arrays))
    for i, expected in enumerate(together):
        (alone,) = gradients([j == i for j in range(len(arrays))])
        np.testing.assert_allclose(alone, expected, rtol=1e-12, atol=1e-12)


# --- types -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@every_operation
def test_values_and_gradients_keep_the_type(name: str, dtype: str) -> None:
    """float64 creep: one careless NumPy scalar, and everything behind it takes twice the memory and time."""
    operation = OPERATIONS[name]
    tensors = [Tensor(array, requires_grad=True) for array in operation.inputs(dtype)]
    outputs = listed(operation.call(*tensors))
    assert [output.dtype for output in outputs] == [dtype] * len(outputs)
    weights = [np.ones(output.shape, dtype) for output in outputs]
    first = grad(outputs, tensors, weights, create_graph=True)
    assert [gradient.dtype for gradient in first] == [dtype] * len(tensors)
    taped = [gradient for gradient in first if gradient.requires_grad]
    if taped:
        second = grad(taped, tensors, [np.ones(gradient.shape, dtype) for gradient in taped])
        assert [gradient.dtype for gradient in second] == [dtype] * len(tensors)


STRAY = np.float64(0.7)
WITH_SCALARS = {
    "add": lambda x: F.add(F.add(STRAY, x), STRAY),
    "subtract": lambda x: F.subtract(F.subtract(STRAY, x), STRAY),
    "multiply": lambda x: F.multiply(F.multiply(STRAY, x), STRAY),
    "divide": lambda x: F.divide(F.divide(STRAY, x), STRAY),
    "power": lambda x: F.power(x, STRAY),
    "power of a scalar": lambda x: F.power(STRAY, x),
    "operators": lambda x: STRAY - STRAY * x / STRAY + np.sqrt(2) ** x,
    "maximum": lambda x: F.maximum(x, STRAY),
    "minimum": lambda x: F.minimum(STRAY, x),
    "where": lambda x: F.where(np.array([True, False, True]), x, STRAY),
    "clip": lambda x: F.clip(x, -STRAY, STRAY),
    "elu": lambda x: F.elu(F.negative(x), STRAY),
    "leaky_relu": lambda x: F.leaky_relu(F.negative(x), STRAY),
    "pad": lambda x: F.pad(x, [(1, 1)], STRAY),
    "dropout": lambda x: F.dropout(x, STRAY, key=1),
    "batch_norm": lambda x: F.batch_norm_training(F.reshape(x, 3, 1), None, None, epsilon=STRAY)[0],
    "local_response_normalization": lambda x: F.local_response_normalization(x, 1, STRAY, STRAY, STRAY),
}


@pytest.mark.parametrize("name", WITH_SCALARS)
def test_a_stray_float64_scalar_changes_no_type(name: str) -> None:
    function = WITH_SCALARS[name]
    x = Tensor(np.float32([0.5, 1.0, 2.0]), requires_grad=True)
    y = function(x)
    assert y.dtype == "float32"
    (first,) = grad(y, x, np.ones(y.shape, "float32"), create_graph=True)
    assert first.dtype == "float32"
    if first.requires_grad:
        (second,) = grad(first, x, np.ones(3, "float32"))
        assert second.dtype == "float32"
    if "operators" not in name:
        assert function(x.data).dtype == "float32"


# --- arrays and tensors ----------------------------------------------------------------------------------------------


@every_operation
def test_plain_arrays_give_plain_arrays_with_the_same_values(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    operation = OPERATIONS[name]
    arrays = operation.inputs("float32")
    expected = listed(operation.call(*(Tensor(array, requires_grad=True) for array in arrays)))

    def taped(*arguments: Any) -> None:
        raise AssertionError("plain arrays were taped")

    monkeypatch.setattr(Function, "_tape", taped)
    results = listed(operation.call(*arrays))
    for result, tensor in zip(results, expected, strict=True):
        assert isinstance(result, (np.ndarray, np.floating))
        np.testing.assert_array_equal(result, tensor.data)
    with no_grad():
        for tensor in listed(operation.call(*(Tensor(array, requires_grad=True) for array in arrays))):
            assert isinstance(tensor, Tensor)
            assert not tensor.requires_grad and tensor.is_leaf


@every_operation
def test_a_tensor_among_arrays_gives_tensors(name: str) -> None:
    operation = OPERATIONS[name]
    arrays = operation.inputs("float32")
    for i in range(len(arrays)):
        mixed = [Tensor(array) if j == i else array for j, array in enumerate(arrays)]
        results = listed(operation.call(*mixed))
        # A mean of plain arrays beside a tensor of scales is an array: it has nothing to do with the tensor.
        assert isinstance(results[0], Tensor)
        assert not results[0].requires_grad and results[0].is_leaf


@every_operation
def test_inputs_stay_as_they_are_and_may_lie_anywhere_in_memory(name: str) -> None:
    operation = OPERATIONS[name]
    arrays = operation.inputs()
    copies = [np.asfortranarray(array) for array in arrays]
    for copy in copies:
        copy.flags.writeable = False
    tensors = [Tensor(copy, requires_grad=True) for copy in copies]
    plain = [Tensor(array, requires_grad=True) for array in arrays]
    outputs, expected = listed(operation.call(*tensors)), listed(operation.call(*plain))
    weights = [np.random.default_rng(2).standard_normal(y.shape) for y in outputs]
    for y, z in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(y.data, z.data, rtol=1e-12, atol=1e-12)
    for g, h in zip(grad(outputs, tensors, weights), grad(expected, plain, weights), strict=True):
        np.testing.assert_allclose(g.data, h.data, rtol=1e-12, atol=1e-12)
    for tensor, array in zip(plain, operation.inputs(), strict=True):
        np.testing.assert_array_equal(tensor.data, array)


@every_operation
def test_lists_of_numbers_are_taken_as_float32(name: str) -> None:
    operation = OPERATIONS[name]
    if name == "cast":
        pytest.skip("the table's cast asks its input for its dtype, which a list does not have")
    arrays = operation.inputs("float32")
    for result, expected in zip(
        listed(operation.call(*(array.tolist() for array in arrays))), listed(operation.call(*arrays)), strict=True
    ):
        assert result.dtype == "float32"
        np.testing.assert_array_equal(result, expected)
