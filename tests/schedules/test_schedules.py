"""Learning rate schedules against Keras."""

from __future__ import annotations

import inspect
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn import schedules
from tests.oracles import keras, keras_in

rates = st.floats(1e-4, 1.0)
steps = st.integers(1, 500)
common = {"initial_learning_rate": rates, "decay_steps": steps}
arguments = {
    "ExponentialDecay": st.fixed_dictionaries(
        {**common, "decay_rate": st.floats(0.3, 1), "staircase": st.booleans()}
    ),
    "InverseTimeDecay": st.fixed_dictionaries(
        {**common, "decay_rate": st.floats(0, 2), "staircase": st.booleans()}
    ),
    "PolynomialDecay": st.fixed_dictionaries(
        {
            **common, "end_learning_rate": st.floats(1e-4, 0.1),
            "power": st.floats(0.5, 3), "cycle": st.booleans(),
        }
    ),
    "CosineDecay": st.fixed_dictionaries(
        {
            **common, "alpha": st.floats(0.05, 1),
            "warmup_target": st.one_of(st.none(), st.floats(0.1, 2)), "warmup_steps": st.integers(1, 100),
        }
    ),
    "CosineDecayRestarts": st.fixed_dictionaries(
        {
            "initial_learning_rate": rates, "first_decay_steps": steps, "t_mul": st.sampled_from([1.0, 1.5, 2.0]),
            "m_mul": st.floats(0.5, 1), "alpha": st.floats(0.05, 1),
        }
    ),
    "PiecewiseConstantDecay": st.lists(rates, min_size=2, max_size=6).flatmap(
        lambda values: st.fixed_dictionaries(
            {
                "boundaries": st.just(sorted(range(7, 7 * len(values), 7))),
                "values": st.just(values),
            }
        )
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", list(arguments))
@given(data=st.data(), step=st.integers(0, 2000))
def test_schedule_as_keras(name, data, step):
    options = data.draw(arguments[name])
    if name == "CosineDecayRestarts":
        length = options["first_decay_steps"]
        # Keras finds the restart with float32 logarithms, which may miss it by one at the very step.
        begins = [0.0]
        while begins[-1] * length <= step:
            begins.append(begins[-1] + options["t_mul"] ** (len(begins) - 1))
        if any(abs(step / length - begin) < 1e-3 for begin in begins[1:]):
            step = 0
    ours = getattr(schedules, name)(**options)(step)
    with keras_in("float64") as keras:
        theirs = float(getattr(keras.optimizers.schedules, name)(**options)(step))
    assert isinstance(ours, float)
    assert ours == pytest.approx(theirs, rel=1e-5)


@pytest.mark.parametrize("name", list(arguments))
def test_arguments_and_defaults_as_keras(name):
    ours = inspect.signature(getattr(schedules, name)).parameters
    theirs = inspect.signature(getattr(keras().optimizers.schedules, name)).parameters
    assert {key: p.default for key, p in ours.items()} == {key: p.default for key, p in theirs.items()}


def test_restarts_begin_at_the_top():
    schedule = schedules.CosineDecayRestarts(1.0, 10, t_mul=2.0, m_mul=0.5)
    assert [schedule(step) for step in (0, 10, 30)] == [1.0, 0.5, 0.25]
    assert schedules.CosineDecayRestarts(1.0, 10, t_mul=1.0, m_mul=1.0)(10**9) == 1.0


def test_configuration_goes_through_json():
    made = schedules.CosineDecay(0.1, 50, alpha=0.2, warmup_target=0.5, warmup_steps=5)
    copy = schedules.get(json.loads(json.dumps(schedules.serialize(made))))
    assert copy.get_config() == made.get_config()
    assert [copy(step) for step in range(60)] == [made(step) for step in range(60)]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: schedules.ExponentialDecay(0.1, 0, 0.5), "ExponentialDecay: expected decay_steps > 0, got 0"),
        (lambda: schedules.PolynomialDecay(0.1, -1), "PolynomialDecay: expected decay_steps > 0, got -1"),
        (lambda: schedules.CosineDecayRestarts(0.1, 0), "CosineDecayRestarts: expected first_decay_steps > 0, got 0"),
        (lambda: schedules.CosineDecayRestarts(0.1, 5, t_mul=0.5), "CosineDecayRestarts: expected t_mul >= 1, got 0.5"),
        (
            lambda: schedules.PiecewiseConstantDecay([1, 2], [0.1]),
            "PiecewiseConstantDecay: expected one value more than boundaries, got 1 values and 2 boundaries",
        ),
        (
            lambda: schedules.PiecewiseConstantDecay([2, 1], [0.1, 0.2, 0.3]),
            r"PiecewiseConstantDecay: expected rising boundaries, got \[2, 1\]",
        ),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
