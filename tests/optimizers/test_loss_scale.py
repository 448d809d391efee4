"""Loss scaling: the scale, and which steps are made, are those of Keras' LossScaleOptimizer."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from minicnn import optimizers
from minicnn.autograd import Tensor
from minicnn.optimizers import LossScaleOptimizer
from minicnn.parameter import Parameter
from tests.oracles import keras

# What the largest gradient of each step is multiplied by.
STEPS = [1, 1, np.inf, 1, 1, 1, 1, np.nan, -np.inf, 1, 1, 1, 1, 1]


def parameter(values: np.ndarray) -> Parameter:
    return Parameter(values.shape, initializer=lambda shape, dtype, generator: values.astype(dtype))


@pytest.mark.filterwarnings("ignore:__array__ implementation")
@pytest.mark.parametrize("name", ["sgd", "adam", "rmsprop"])
def test_the_scale_and_the_steps_are_keras(name: str) -> None:
    generator = np.random.default_rng(0)
    start = generator.standard_normal((3, 2)).astype(np.float32)
    ours, theirs = parameter(start), keras().Variable(start)
    optimizer = LossScaleOptimizer(name, initial_scale=8.0, dynamic_growth_steps=3).bind([ours])
    oracle = keras().optimizers.LossScaleOptimizer(
        keras().optimizers.get(name), initial_scale=8.0, dynamic_growth_steps=3
    )
    oracle.build([theirs])
    scales = []
    for factor in STEPS:
        before = ours.numpy().copy()
        gradient = generator.standard_normal((3, 2)).astype(np.float32)
        gradient[1, 1] *= factor
        assert float(optimizer.scale_loss(Tensor(np.float32(1.0))).numpy()) == float(oracle.scale_loss(1.0))
        ours.grad = Tensor(gradient * np.float32(optimizer.dynamic_scale))
        scaled = keras().ops.convert_to_tensor(gradient) * oracle.dynamic_scale
        optimizer.step()
        oracle.apply([scaled], [theirs])
        scales.append(optimizer.dynamic_scale)
        assert optimizer.dynamic_scale == float(oracle.dynamic_scale)
        assert optimizer.step_counter == int(oracle.step_counter)
        assert optimizer.iterations == int(oracle.iterations)
        if not np.isfinite(factor):
            np.testing.assert_array_equal(ours.numpy(), before)
        np.testing.assert_allclose(ours.numpy(), keras().ops.convert_to_numpy(theirs), rtol=1e-5, atol=1e-6)
    assert {2.0, 4.0, 8.0} <= set(scales)


@pytest.mark.parametrize("place", [0, 2])
def test_one_gradient_of_several_that_overflows_is_enough(place: int) -> None:
    """Wherever it lies; between the two with a gradient is one without, so that they are looked at one by one."""
    weights = [parameter(np.ones((20,))) for _ in range(3)]
    optimizer = LossScaleOptimizer("sgd", initial_scale=8.0).bind(weights)
    for index in (0, 2):
        weights[index].grad = Tensor(np.full(20, np.inf if index == place else 1.0, np.float32))
    optimizer.step()
    assert optimizer.dynamic_scale == 4.0
    for weight in weights:
        np.testing.assert_array_equal(weight.numpy(), np.ones(20))


def test_state_configuration_and_copies_go_on_as_they_were() -> None:
    weight = parameter(np.ones((2, 2)))
    optimizer = LossScaleOptimizer(optimizers.Adam(0.1), initial_scale=64.0, dynamic_growth_steps=5).bind([weight])
    for gradient in (1.0, np.inf, 1.0):
        weight.grad = Tensor(np.full((2, 2), gradient, np.float32))
        optimizer.step()
    state = optimizer.get_state()
    assert (state["dynamic_scale"], state["step_counter"], state["iterations"]) == (32.0, 1, 2)
    again = optimizers.get(optimizers.serialize(optimizer))
    assert isinstance(again, LossScaleOptimizer) and again.get_config() == optimizer.get_config()
    again.bind([weight]).set_state(state)
    assert again.dynamic_scale == 32.0 and again.step_counter == 1 and again.iterations == 2
    np.testing.assert_array_equal(again.get_state()["momentum/0"], state["momentum/0"])
    assert copy.deepcopy(optimizer).get_state().keys() == state.keys()
    optimizer.learning_rate = 0.5
    assert optimizer.inner_optimizer.learning_rate == optimizer.learning_rate == 0.5 and optimizer.schedule is None


def test_a_trained_optimizer_keeps_what_it_has_when_it_is_wrapped() -> None:
    weight = parameter(np.ones(3))
    inner = optimizers.SGD(0.1, momentum=0.9, parameters=[weight])
    weight.grad = Tensor(np.ones(3, np.float32))
    inner.step()
    optimizer = LossScaleOptimizer(inner)
    assert optimizer.iterations == 1 and optimizer.parameters == (weight,)
    assert optimizer.dynamic_scale == 2.0**15 and optimizer.dynamic_growth_steps == 2000


def test_it_is_an_optimizer_in_all_respects() -> None:
    """Every public name of `Optimizer`: what the inner optimizer has is the inner one's, read and written."""
    inner = optimizers.SGD(0.1, momentum=0.9, weight_decay=0.01, clipnorm=1.0, decay=0.5)
    weight = parameter(np.ones(3))
    optimizer = LossScaleOptimizer(inner, initial_scale=2.0).bind([weight])
    weight.grad = Tensor(np.full(3, 2e3, np.float32))
    optimizer.step()
    own = {"name", "scale_loss", "step", "zero_grad", "apply_gradients", "bind", "arrays",
           "get_config", "get_state", "set_state", "from_config"}  # fmt: skip
    known = {*dir(optimizers.Optimizer), *vars(optimizers.Optimizer(0.1))}
    for name in {key for key in known if not key.startswith("_")} - own:
        assert getattr(optimizer, name) == getattr(inner, name), name
    for name, value in {"learning_rate": 0.5, "decay": 0.25, "weight_decay": None, "clipnorm": None, "clipvalue": 3.0,
                        "global_clipnorm": 2.0, "iterations": 7}.items():  # fmt: skip
        setattr(optimizer, name, value)
        assert getattr(inner, name) == getattr(optimizer, name) == value
    *inner_arrays, scale, counter = optimizer.arrays()
    assert all(a is b for a, b in zip(inner_arrays, inner.arrays(), strict=True))
    assert (float(scale), int(counter)) == (optimizer.dynamic_scale, optimizer.step_counter) == (2.0, 1)


def test_gradients_of_the_scaled_loss_may_be_given_as_pairs() -> None:
    weight = parameter(np.ones(3))
    optimizer = LossScaleOptimizer(optimizers.SGD(0.5), initial_scale=8.0)
    optimizer.apply_gradients([(np.full(3, 8, np.float32), weight)])
    np.testing.assert_array_equal(weight.numpy(), 0.5)
    optimizer.apply_gradients([(np.full(3, np.inf, np.float32), weight)])
    np.testing.assert_array_equal(weight.numpy(), 0.5)
    assert optimizer.dynamic_scale == 4.0


@pytest.mark.parametrize(("arguments", "error", "message"), [
    ({"inner_optimizer": None}, TypeError, "inner_optimizer to be an optimizer that does not scale, got None"),
    ({"inner_optimizer": LossScaleOptimizer("sgd")}, TypeError, "an optimizer that does not scale"),
    ({"inner_optimizer": "sgd", "initial_scale": 0}, ValueError, "initial_scale > 0 and finite, got 0"),
    ({"inner_optimizer": "sgd", "dynamic_growth_steps": 2.5}, TypeError, "a whole number, got 2.5"),
    ({"inner_optimizer": "sgd", "dynamic_growth_steps": 0}, ValueError, "steps must be at least 1, got 0"),
])  # fmt: skip
def test_wrong_arguments_are_refused(arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        LossScaleOptimizer(**arguments)
