"""Saving and resuming, learning rates, constraints, and what optimizers refuse."""

from __future__ import annotations

import gc
import json

import numpy as np
import pytest

from minicnn import constraints, optimizers, schedules
from minicnn.autograd import Tensor
from minicnn.parameter import Parameter

ALL = ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad"]
VARIANTS = [
    ("SGD", {}),
    ("SGD", {"momentum": 0.9, "nesterov": True}),
    ("Adam", {}),
    ("Adam", {"amsgrad": True}),
    ("AdamW", {}),
    ("RMSprop", {"momentum": 0.5, "centered": True}),
    ("Adagrad", {}),
]


def make(count=2, constraint=None):
    def draw(shape, dtype, generator):
        return generator.standard_normal(shape).astype(dtype)

    return [
        Parameter(
            (i + 2, 3), initializer=draw, name=f"p{i}", seed_sequence=np.random.SeedSequence(i), constraint=constraint
        )
        for i in range(count)
    ]


def train(optimizer, parameters, first, last):
    for number in range(first, last):
        generator = np.random.default_rng(number)
        pairs = [(generator.standard_normal(p.shape).astype(p.dtype), p) for p in parameters]
        optimizer.apply_gradients(pairs)


@pytest.mark.parametrize(("name", "options"), VARIANTS)
@pytest.mark.parametrize("state_first", [True, False])
def test_resuming_gives_the_same_bits(name, options, state_first):
    straight = make()
    optimizer = getattr(optimizers, name)(0.05, **options)
    train(optimizer, straight, 0, 6)

    halted = make()
    first = getattr(optimizers, name)(0.05, **options)
    train(first, halted, 0, 3)
    resumed = make()
    for new, old in zip(resumed, halted, strict=True):
        new.data = old.data.copy()
    second = getattr(optimizers, name)(0.9, **options)
    if state_first:
        second.set_state(first.get_state())
        second.bind(resumed)
    else:
        second.bind(resumed)
        train(second, resumed, 7, 8)
        for new, old in zip(resumed, halted, strict=True):
            new.data = old.data
        second.set_state(first.get_state())
    assert second.learning_rate == 0.05
    assert second.iterations == 3
    train(second, resumed, 3, 6)
    for ours, theirs in zip(straight, resumed, strict=True):
        np.testing.assert_array_equal(ours.data, theirs.data)


def test_state_names_slots_by_the_parameter_s_place():
    parameters = make()
    optimizer = optimizers.Adam(parameters=parameters)
    train(optimizer, parameters, 0, 1)
    state = optimizer.get_state()
    assert sorted(state) == ["iterations", "learning_rate", "momentum/0", "momentum/1", "velocity/0", "velocity/1"]
    assert state["velocity/1"].shape == (3, 3)
    state["velocity/1"][:] = np.nan
    assert not np.isnan(optimizer.get_state()["velocity/1"]).any()


def test_state_that_was_set_but_not_used_yet_is_given_again():
    parameters = make()
    optimizer = optimizers.Adam(parameters=parameters)
    train(optimizer, parameters, 0, 2)
    state = optimizer.get_state()
    waiting = optimizers.Adam(parameters=make())
    waiting.set_state(state)
    again = waiting.get_state()
    assert sorted(again) == sorted(state)
    for key, value in state.items():
        np.testing.assert_array_equal(again[key], value)


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_slots_stay_with_their_parameters_when_others_are_bound(name, options):
    def steps(bind):
        # The second of three belongs to both models, as a discriminator's weights do.
        first, shared, last = parameters = make(3)
        optimizer = getattr(optimizers, name)(0.05, **options)
        for number in range(4):
            for group in ((first, shared), (shared, last)):
                bind(optimizer, group, parameters)
                train(optimizer, group, number, number + 1)
        return optimizer, parameters

    optimizer, ours = steps(lambda optimizer, group, parameters: optimizer.bind(group))
    together, theirs = steps(lambda optimizer, group, parameters: optimizer.bind(parameters))
    assert optimizer.iterations == together.iterations == 8
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(mine.data, other.data)
    state, whole = optimizer.get_state(), together.get_state()
    assert {key for key in state if "/" in key} == {key for key in whole if key.endswith(("/0", "/1"))}
    for slot in optimizer.slot_values():
        np.testing.assert_array_equal(state[f"{slot}/0"], whole[f"{slot}/1"])


def test_slots_set_for_parameters_stay_with_them_when_others_are_bound_before_a_step():
    ours, others = make(), make()
    first = optimizers.Adam(parameters=ours)
    train(first, ours, 0, 2)
    state = first.get_state()
    second = optimizers.Adam(parameters=make())
    second.bind(ours).set_state(state)
    assert sorted(second.bind(others).get_state()) == ["iterations", "learning_rate"]
    again = second.bind(ours).get_state()
    for key, value in state.items():
        np.testing.assert_array_equal(again[key], value)


def test_slots_are_not_kept_longer_than_their_parameters():
    optimizer = optimizers.Adam()
    for _ in range(3):
        parameters = make()
        train(optimizer.bind(parameters), parameters, 0, 1)
    optimizer.bind(make())
    del parameters
    gc.collect()
    optimizer.bind(make())
    assert not optimizer._kept


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"iterations": 1, "velocity/0": np.zeros((2, 3))}, r"sgd: state has \['velocity/0'\], but the slots are \[\]"),
        ({"iterations": 1, "colour": 3}, r"sgd: state has \['colour'\]"),
    ],
)
def test_state_of_another_optimizer(state, message):
    with pytest.raises(ValueError, match=message):
        optimizers.SGD(parameters=make()).set_state(state)


@pytest.mark.parametrize("bind_first", [True, False])
@pytest.mark.parametrize(
    ("key", "shape", "message"),
    [
        ("accumulator/0", (9,), r"the saved accumulator of parameter 'p0' has shape \(9,\), expected \(2, 3\)"),
        ("accumulator/5", (2, 3), r"the state has 'accumulator/5', but there are only 2 parameters"),
    ],
)
def test_state_of_other_parameters(key, shape, message, bind_first):
    optimizer = optimizers.Adagrad()
    if bind_first:
        optimizer.bind(make())

    def load():
        optimizer.set_state({"iterations": 1, key: np.zeros(shape)})
        optimizer.bind(make())

    with pytest.raises(ValueError, match=message):
        load()


@pytest.mark.parametrize("name", ALL)
def test_configuration_goes_through_json(name):
    made = getattr(optimizers, name)(0.5, clipnorm=2.0, decay=0.1, name="mine")
    copy = optimizers.get(json.loads(json.dumps(optimizers.serialize(made))))
    assert type(copy) is type(made)
    assert copy.get_config() == made.get_config()
    assert copy.clipnorm == 2.0


def test_a_schedule_goes_through_json_and_is_asked_before_each_step():
    schedule = schedules.PiecewiseConstantDecay([0, 1], [1.0, 0.1, 0.01])
    made = optimizers.get(json.loads(json.dumps(optimizers.serialize(optimizers.SGD(schedule)))))
    parameter = Parameter((1,), initializer=lambda shape, dtype, _: np.zeros(shape, dtype))
    seen = []
    for _ in range(3):
        seen.append(made.learning_rate)
        made.apply_gradients([(np.ones(1, np.float32), parameter)])
    assert seen == [1.0, 0.1, 0.01]
    np.testing.assert_allclose(parameter.data, -1.11, rtol=1e-6)
    assert "learning_rate" not in made.get_state()


def test_decay_is_keras_2_s():
    parameter = Parameter((1,), initializer=lambda shape, dtype, _: np.zeros(shape, dtype))
    optimizer = optimizers.SGD(1.0, decay=0.5)
    for _ in range(3):
        optimizer.apply_gradients([(np.ones(1, np.float32), parameter)])
    np.testing.assert_allclose(parameter.data, -(1 + 1 / 1.5 + 1 / 2), rtol=1e-6)


def test_learning_rate_can_be_set():
    optimizer = optimizers.SGD(0.1)
    optimizer.learning_rate = 0.2
    assert optimizer.learning_rate == 0.2
    optimizer.learning_rate = schedules.ExponentialDecay(1.0, 1, 0.5)
    assert optimizer.learning_rate == 1.0


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("rate", [-0.1, np.nan, np.inf])
def test_learning_rate_out_of_range(name, rate):
    with pytest.raises(ValueError, match=rf"{name.lower()}: expected learning_rate >= 0 and finite, got"):
        getattr(optimizers, name)(rate)
    optimizer = getattr(optimizers, name)()
    with pytest.raises(ValueError, match="expected learning_rate >= 0 and finite"):
        optimizer.learning_rate = rate


@pytest.mark.parametrize("name", ALL)
def test_a_learning_rate_of_0_changes_no_weight(name):
    parameters = make()
    before = [parameter.data.copy() for parameter in parameters]
    optimizer = getattr(optimizers, name)(0)
    train(optimizer, parameters, 0, 2)
    for parameter, old in zip(parameters, before, strict=True):
        np.testing.assert_array_equal(parameter.data, old)
    resumed = getattr(optimizers, name).from_config(optimizer.get_config())
    resumed.learning_rate = 0.1
    resumed.set_state(optimizer.get_state())
    assert resumed.learning_rate == 0 and resumed.iterations == 2


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("lr", "unknown argument 'lr'; it is called 'learning_rate'"),
        ("clip_norm", "unknown argument 'clip_norm'; did you mean 'clipnorm' or 'global_clipnorm'"),
        ("epochs", "unknown argument 'epochs'; expected one of: .*clipvalue, decay, .*learning_rate, .*parameters"),
    ],
)
def test_arguments_that_do_not_exist(name, argument, message):
    with pytest.raises(TypeError, match=f"^{name}: {message}"):
        getattr(optimizers, name)(**{argument: 0.1})


def test_learning_rate_that_is_no_number():
    with pytest.raises(TypeError, match="sgd: expected learning_rate to be a number, got 'fast'"):
        optimizers.SGD("fast")


def test_a_schedule_that_gives_no_rate():
    optimizer = optimizers.SGD(lambda step: float("nan"), parameters=make())
    with pytest.raises(ValueError, match="sgd: the schedule gave the learning rate nan for step 0"):
        train(optimizer, optimizer.parameters, 0, 1)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("SGD", {"momentum": 1.5}, r"sgd: expected momentum in \[0, 1\], got 1\.5"),
        ("SGD", {"clipnorm": 0}, "sgd: expected clipnorm > 0 and finite, got 0"),
        ("SGD", {"clipvalue": -1}, "sgd: expected clipvalue > 0 and finite, got -1"),
        ("SGD", {"weight_decay": -1}, "sgd: expected weight_decay >= 0 and finite, got -1"),
        ("SGD", {"clipnorm": 1, "clipvalue": 1}, "sgd: expected at most one of clipnorm, clipvalue, global_clipnorm"),
        ("Adam", {"beta_1": 1.0}, r"adam: expected beta_1 in \[0, 1\), got 1\.0"),
        ("Adam", {"beta_2": -0.1}, "adam: expected beta_2 >= 0 and finite, got -0.1"),
        ("Adam", {"epsilon": 0}, "adam: expected epsilon > 0 and finite, got 0"),
        ("AdamW", {"weight_decay": None}, "AdamW: expected weight_decay to be a number, got None; use Adam"),
        ("RMSprop", {"rho": 2}, r"rmsprop: expected rho in \[0, 1\), got 2"),
        ("Adagrad", {"initial_accumulator_value": -1}, "adagrad: expected initial_accumulator_value >= 0"),
    ],
)
def test_options_out_of_range(name, options, message):
    with pytest.raises(ValueError, match=message):
        getattr(optimizers, name)(**options)


def test_nothing_to_train():
    with pytest.raises(
        ValueError, match=r"adam\.step\(\): no parameters to train; give them as Adam\(\.\.\., parameters="
    ):
        optimizers.Adam().step()
    with pytest.raises(ValueError, match=r"sgd\.step\(\): no parameter has a gradient; call loss\.backward\(\) first"):
        optimizers.SGD(parameters=make()).step()
    with pytest.raises(TypeError, match=r"sgd: expected parameters \(model\.trainable_weights\), got Tensor"):
        optimizers.SGD(parameters=[Tensor(np.zeros(2, np.float32))])


def test_gradients_that_do_not_fit():
    (parameter,) = make(1)
    with pytest.raises(ValueError, match=r"sgd: the gradient of 'p0' must have shape \(2, 3\), got \(3, 2\)"):
        optimizers.SGD().apply_gradients([(np.zeros((3, 2)), parameter)])
    with pytest.raises(ValueError, match="sgd: parameter 'p0' was not bound to this optimizer"):
        optimizers.SGD(parameters=make(1)).apply_gradients([(np.zeros((2, 3)), parameter)])


def test_unknown_name():
    with pytest.raises(ValueError, match="unknown optimizer 'rmsprob'; did you mean 'RMSprop'"):
        optimizers.get("rmsprob")
    with pytest.raises(TypeError, match="optimizer: expected an Optimizer, a name or a configuration, got function"):
        optimizers.get(lambda: None)


def test_constraints_hold_after_each_step():
    parameters = make(constraint=constraints.NonNeg())
    optimizer = optimizers.SGD(0.5, parameters=parameters)
    train(optimizer, parameters, 0, 3)
    assert all(parameter.data.min() == 0.0 for parameter in parameters)
    assert all(np.shares_memory(parameter.data, parameter.arena.data) for parameter in parameters)


def test_a_constraint_must_give_the_shape_of_the_weights():
    parameters = make(1, constraint=lambda w: w.mean(axis=0))
    before = parameters[0].data.copy()
    optimizer = optimizers.SGD(1e-3, parameters=parameters)
    with pytest.raises(ValueError, match=r"sgd: the constraint of 'p0' must give shape \(2, 3\), got \(3,\)"):
        train(optimizer, parameters, 0, 1)
    np.testing.assert_allclose(parameters[0].data, before, atol=0.01)


@pytest.mark.parametrize("option", ["clipnorm", "global_clipnorm"])
def test_an_infinite_gradient_is_not_hidden_by_clipping(option):
    (parameter,) = make(1)
    gradient = np.zeros((2, 3), np.float32)
    gradient[0, 0] = np.inf
    with np.errstate(invalid="ignore"):
        optimizers.SGD(1.0, **{option: 1.0}).apply_gradients([(gradient, parameter)])
    assert np.isnan(parameter.data).all()
