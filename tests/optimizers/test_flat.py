"""Flat parameters: one sweep over one buffer, and every view of it stays valid."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import minicnn.functional as F
from minicnn import optimizers
from minicnn.parameter import Arena, Parameter

SHAPES = [(3, 2), (5,), (2, 2, 1, 4)]


def draw(shape, dtype, generator):
    return generator.standard_normal(shape).astype(dtype)


def make(shapes=SHAPES, dtype="float32", **options):
    return [
        Parameter(shape, dtype, initializer=draw, name=f"p{i}", seed_sequence=np.random.SeedSequence(i), **options)
        for i, shape in enumerate(shapes)
    ]


def backward(parameters):
    """A loss whose gradient by each weight is the weight itself."""
    loss = sum((F.sum(F.square(parameter)) * 0.5 for parameter in parameters), start=0.0)
    loss.backward()


def step(optimizer, parameters, times=1):
    for _ in range(times):
        backward(parameters)
        optimizer.step()
        optimizer.zero_grad()


def test_parameters_and_gradients_share_one_buffer():
    parameters = make()
    values = [parameter.data.copy() for parameter in parameters]
    optimizer = optimizers.SGD(0.1, parameters=parameters)
    step(optimizer, parameters)
    (arena,) = {parameter.arena for parameter in parameters}
    for parameter, value in zip(parameters, values, strict=True):
        assert np.shares_memory(parameter.data, arena.data)
        assert parameter.data.ctypes.data % Arena.alignment == 0
        np.testing.assert_allclose(parameter.data, 0.9 * value, rtol=1e-6)
    backward(parameters)
    assert all(np.shares_memory(parameter.grad.data, arena.gradient) for parameter in parameters)


def test_one_kernel_call_a_step(monkeypatch):
    calls = []
    original = optimizers.SGD.update
    monkeypatch.setattr(
        optimizers.SGD, "update", lambda self, p, *rest: calls.append(p.size) or original(self, p, *rest)
    )
    parameters = make()
    optimizer = optimizers.SGD(0.1, parameters=parameters)
    step(optimizer, parameters, times=3)
    assert len(calls) == 3


def test_one_buffer_for_each_dtype():
    parameters = make() + make([(4,)], "float64")
    step(optimizers.SGD(0.1, parameters=parameters), parameters)
    assert {parameter.arena.data.dtype for parameter in parameters} == {np.dtype("float32"), np.dtype("float64")}
    assert [parameter.data.dtype for parameter in parameters] == ["float32"] * 3 + ["float64"]


def test_assigning_data_keeps_the_view():
    parameters = make()
    optimizer = optimizers.SGD(0.1, parameters=parameters)
    step(optimizer, parameters)
    view = parameters[0].data
    parameters[0].data = np.full((3, 2), 2.0)
    assert parameters[0].data is view
    step(optimizer, parameters)
    np.testing.assert_allclose(parameters[0].data, 1.8, rtol=1e-6)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad"])
def test_frozen_parameters_and_those_without_gradient_stay(name):
    together, alone = make(), make()
    optimizer = getattr(optimizers, name)(0.1, parameters=together)
    reference = getattr(optimizers, name)(0.1, parameters=[alone[0], alone[2]])
    step(optimizer, together)
    step(getattr(optimizers, name)(0.1, parameters=[alone[1]]), [alone[1]])
    step(reference, [alone[0], alone[2]])
    frozen = together[1].data.copy()
    together[1].trainable = False
    step(optimizer, together)
    step(reference, [alone[0], alone[2]])
    np.testing.assert_array_equal(together[1].data, frozen)
    together[1].trainable = True
    step(optimizer, [together[0], together[2]])
    step(reference, [alone[0], alone[2]])
    np.testing.assert_array_equal(together[1].data, frozen)
    for a, b in zip(together, alone, strict=True):
        np.testing.assert_array_equal(a.data, b.data)


def test_a_parameter_unfrozen_later_joins():
    parameters = make()
    parameters[1].trainable = False
    optimizer = optimizers.Adam(0.1, parameters=parameters)
    step(optimizer, parameters)
    assert parameters[1].arena is None
    before = parameters[1].data.copy()
    parameters[1].trainable = True
    step(optimizer, parameters)
    # Adam's first two steps have the length of the learning rate, give or take the bias correction of step 2.
    assert np.all(np.abs(parameters[1].data - before) > 0.01)
    assert parameters[1].arena is not parameters[0].arena


def test_shared_parameters_are_trained_once():
    parameters = make()
    values = parameters[0].data.copy()
    optimizer = optimizers.SGD(0.1, parameters=[parameters[0], parameters[0]])
    step(optimizer, [parameters[0]])
    np.testing.assert_allclose(parameters[0].data, 0.9 * values, rtol=1e-6)
    assert len(optimizer.parameters) == 1


def test_a_second_optimizer_finds_the_parameters_where_they_are():
    parameters = make()
    step(optimizers.SGD(0.1, parameters=parameters), parameters)
    buffers = [parameter.data for parameter in parameters]
    values = [parameter.data.copy() for parameter in parameters]
    second = optimizers.SGD(0.1, parameters=parameters[1:] + make([(7,)]))
    step(second, second.parameters)
    assert all(parameter.data is buffer for parameter, buffer in zip(parameters, buffers, strict=True))
    np.testing.assert_array_equal(parameters[0].data, values[0])
    for parameter, value in zip(parameters[1:], values[1:], strict=True):
        np.testing.assert_allclose(parameter.data, 0.9 * value, rtol=1e-6)
    assert len(second._blocks) == 2


def test_recompiling_keeps_one_block():
    parameters = make()
    step(optimizers.SGD(0.1, parameters=parameters), parameters)
    second = optimizers.Adam(0.1, parameters=parameters)
    step(second, parameters)
    assert len(second._blocks) == 1


def test_gradients_from_before_the_first_step_are_kept():
    parameters = make()
    values = [parameter.data.copy() for parameter in parameters]
    backward(parameters)
    backward(parameters)
    optimizers.SGD(0.1, parameters=parameters).step()
    for parameter, value in zip(parameters, values, strict=True):
        np.testing.assert_allclose(parameter.data, 0.8 * value, rtol=1e-6)
        np.testing.assert_allclose(parameter.grad.data, 2 * value, rtol=1e-6)


def test_a_step_between_forward_and_backward_is_noticed():
    parameters = make()
    optimizer = optimizers.SGD(0.1, parameters=parameters)
    step(optimizer, parameters)
    loss = F.sum(F.square(parameters[0]))
    step(optimizer, parameters)
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda item: pickle.loads(pickle.dumps(item))])
@pytest.mark.parametrize("name", ["SGD", "Adam", "RMSprop", "Adagrad"])
def test_copies_go_on_alone_with_the_same_bits(name, clone):
    parameters = make()
    options = {"momentum": 0.9} if name in ("SGD", "RMSprop") else {}
    optimizer = getattr(optimizers, name)(0.1, parameters=parameters, **options)
    step(optimizer, parameters, times=3)
    copied, copied_optimizer = clone((parameters, optimizer))
    before = [parameter.data.copy() for parameter in parameters]
    step(copied_optimizer, copied, times=3)
    for parameter, value in zip(parameters, before, strict=True):
        np.testing.assert_array_equal(parameter.data, value)
    step(optimizer, parameters, times=3)
    for ours, theirs in zip(parameters, copied, strict=True):
        assert not np.shares_memory(ours.data, theirs.data)
        np.testing.assert_array_equal(ours.data, theirs.data)


def test_empty_parameters():
    parameters = make([(0, 3), (2,), (0,)])
    optimizer = optimizers.Adam(0.1, parameters=parameters, global_clipnorm=1.0)
    step(optimizer, parameters, times=2)
    assert optimizer.iterations == 2


def test_a_parameter_between_two_others_is_not_touched():
    parameters = make()
    step(optimizers.SGD(0.1, parameters=parameters), parameters)
    between = parameters[1].data.copy()
    second = optimizers.SGD(0.1, parameters=[parameters[0], parameters[2]], weight_decay=0.1)
    backward(parameters)
    second.step()
    assert len(second._blocks) == 2
    np.testing.assert_array_equal(parameters[1].data, between)


def test_freezing_after_backward_still_counts():
    parameters = make()
    optimizer = optimizers.SGD(0.1, parameters=parameters)
    step(optimizer, parameters)
    before = [parameter.data.copy() for parameter in parameters]
    backward(parameters)
    parameters[1].trainable = False
    optimizer.step()
    np.testing.assert_array_equal(parameters[1].data, before[1])
    assert not np.array_equal(parameters[2].data, before[2])
