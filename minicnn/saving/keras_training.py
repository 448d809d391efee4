"""How a model is trained, and how far it is, as Keras' files say it: compile's arguments and the optimizer's state.

An optimizer's arrays have no names there, only an order: the count of steps, the learning rate unless a schedule sets
it, then slot after slot with an array for each trained weight. Adam's momentum and velocity take turns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn import schedules
from minicnn.optimizers import Adam, LossScaleOptimizer, Optimizer
from minicnn.parameter import Parameter
from minicnn.registry import map_leaves
from minicnn.saving.errors import ModelFileError
from minicnn.saving.keras_objects import Custom, Description, from_keras, plain, to_keras
from minicnn.saving.keras_order import trained_weights

if TYPE_CHECKING:
    from minicnn.models import Model

#: Slots of which Keras 3 writes one array each, in turns, weight after weight.
_IN_TURNS: dict[type, tuple[str, ...]] = {Adam: ("momentum", "velocity")}
#: Numbers that a scaling of the loss has before those of the optimizer that it scales for.
_SCALING = 4


# ------------------------------------------------------------------------------------------- to Keras


def describe_training(config: Mapping[str, Any]) -> Description:
    """Describe what `Trainer.get_config` gave as Keras' `compile_config`.

    Raises:
        ValueError: the optimizer decays a schedule, which Keras' cannot.
    """
    return {
        "optimizer": describe_optimizer(config["optimizer"]),
        "loss": map_leaves(config["loss"], lambda item: _measure(item, "loss")),
        "loss_weights": config["loss_weights"],
        "metrics": map_leaves(config["metrics"], lambda item: _measure(item, "metric")),
        "weighted_metrics": None,
        "run_eagerly": False,
        "steps_per_execution": 1,
    }


def describe_optimizer(description: Mapping[str, Any]) -> Description:
    """Describe an optimizer; a `decay` becomes the schedule that does the same."""
    config = dict(description["config"])
    if "inner_optimizer" in config:
        config["inner_optimizer"] = describe_optimizer(config["inner_optimizer"])
        return {**to_keras({**description, "config": {}}, "optimizer"), "config": config}
    decay = config.pop("decay")
    if decay:
        if isinstance(config["learning_rate"], Mapping):
            raise ValueError(f"save: {description['class_name']} has both a schedule and decay={decay}; Keras has one")
        schedule = schedules.InverseTimeDecay(config["learning_rate"], 1, decay)
        config["learning_rate"] = schedules.serialize(schedule)
    return to_keras({"class_name": description["class_name"], "config": config}, "optimizer")


def _measure(item: Any, kind: str) -> Any:
    if isinstance(item, Mapping):
        item = dict(item)
        kind = "loss" if item.pop("kind", None) == "loss" else kind
    return to_keras(item, kind)


def optimizer_arrays(model: Model) -> list[tuple[str, np.ndarray]]:
    """Give the state of a model's optimizer as Keras 3 orders it, with the names that Keras has for the arrays."""
    optimizer: Optimizer = model.trainer.optimizer
    state = model.trainer.optimizer_state()
    scaling: list[tuple[str, np.ndarray]] = []
    if isinstance(optimizer, LossScaleOptimizer):
        # Steps and rate of its own, which Keras never uses, stand before what it has to itself.
        scaling = [("iteration", np.array(0, np.int64)), ("learning_rate", np.array(0, np.float32))]
        scaling += [("step_counter", np.array(state["step_counter"], np.int64))]
        scaling += [("dynamic_scale", np.array(state["dynamic_scale"], np.float32))]
        optimizer = optimizer.inner_optimizer
    numbers = {id(parameter): number for number, parameter in enumerate(model.weights)}
    arrays = [*scaling, ("iteration", np.array(state["iterations"], np.int64))]
    if optimizer.schedule is None and not optimizer.decay:
        arrays.append(("learning_rate", np.array(state["learning_rate"], np.float32)))
    start = optimizer.slot_values()
    weights = trained_weights(model)
    for slots in slot_groups(optimizer):
        for weight in weights:
            for slot in slots:
                array = state.get(f"{slot}/{numbers.get(id(weight))}")
                if array is None:
                    array = np.full(weight.shape, start[slot], weight.dtype)
                arrays.append((f"{weight.name.replace('/', '_')}_{slot}", array))
    return arrays


def optimizer_groups(model: Model) -> Iterator[tuple[str, str, list[np.ndarray]]]:
    """Give the groups that Keras 3 keeps an optimizer's arrays in: where, whose, and the arrays.

    A scaling of the loss has all of them, and the optimizer within has its own once more.
    """
    optimizer, arrays = model.trainer.optimizer, [array for _, array in optimizer_arrays(model)]
    yield "optimizer/", optimizer.name, arrays
    if isinstance(optimizer, LossScaleOptimizer):
        yield "optimizer/inner_optimizer/", optimizer.inner_optimizer.name, arrays[_SCALING:]


def slot_groups(optimizer: Optimizer) -> list[tuple[str, ...]]:
    """Give the slots in the order in which Keras 3 makes them; those of one group take turns."""
    left = list(optimizer.slot_values())
    groups = []
    for kind, slots in _IN_TURNS.items():
        if isinstance(optimizer, kind):
            groups.append(slots)
            left = [slot for slot in left if slot not in slots]
    return groups + [(slot,) for slot in left]


# ----------------------------------------------------------------------------------------- from Keras


def read_training(config: Mapping[str, Any], custom: Custom, model: Model) -> Description:
    """Turn `compile_config`, or the `training_config` of an HDF5 file, into what `Trainer.get_config` gives.

    Args:
        config: as it stands in the file.
        custom: the caller's own classes and functions by name.
        model: whose training it is.
    """
    outputs = [] if model.graph is None else model.output_names
    optimizer = plain(config.get("optimizer", config.get("optimizer_config", "rmsprop")))
    return {
        "optimizer": from_keras(optimizer, "optimizer", custom),
        "loss": map_leaves(plain(config.get("loss")), lambda item: _read_measure(item, "loss", custom)),
        "metrics": _without_none(
            map_leaves(
                plain(config.get("metrics")), lambda item: _read_measure(_unwrapped(item, outputs), "metric", custom)
            )
        ),
        "loss_weights": plain(config.get("loss_weights")),
        "clip_probabilities": False,
    }


def _read_measure(item: Any, kind: str, custom: Custom) -> Any:
    if not isinstance(item, Mapping):
        return item
    if kind == "metric" and str(item.get("module", "")).endswith("losses"):
        return {**from_keras(item, "loss", custom), "kind": "loss"}
    return from_keras(item, kind, custom)


def _unwrapped(item: Any, outputs: Sequence[str]) -> Any:
    """Undo what Keras 2 made of a metric's name: the function that it stood for, and the name with the output's."""
    if not isinstance(item, Mapping) or item.get("class_name") != "MeanMetricWrapper":
        return item
    config = item.get("config")
    if not isinstance(config, Mapping):
        raise ModelFileError(f"a metric's config must be a dictionary, but it is {type(config).__name__}")
    name = config.get("name")
    for output in outputs if len(outputs) > 1 else ():
        name = name.removeprefix(f"{output}_") if isinstance(name, str) else name
    return {"class_name": config.get("fn"), "config": {"name": name}}


def _without_none(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_none(item) for item in value if item is not None]
    return value


def set_optimizer_arrays(model: Model, arrays: Sequence[np.ndarray], names: Sequence[str] | None = None) -> None:
    """Let a compiled model's optimizer go on from arrays in Keras' order.

    Args:
        model: compiled, its layers frozen as they were when the arrays were written.
        arrays: in the order of Keras 3; of Keras 2, too, where the names tell it.
        names: of the arrays, in HDF5 files.

    Raises:
        ModelFileError: the arrays are not those of this optimizer and these weights.
    """
    optimizer: Optimizer = model.trainer.optimizer
    weights = trained_weights(model)
    scaling = {}
    if isinstance(optimizer, LossScaleOptimizer):
        optimizer = optimizer.inner_optimizer
        if len(arrays) >= _SCALING and all(array.ndim == 0 for array in arrays[:_SCALING]):
            scaling = {"step_counter": int(arrays[2]), "dynamic_scale": float(arrays[3])}
            arrays, names = arrays[_SCALING:], None if names is None else names[_SCALING:]
    scalars = [array for array in arrays if array.size == 1 and array.ndim == 0]
    slots = [array for array in arrays if not (array.size == 1 and array.ndim == 0)]
    if not slots and not any(int(scalar) for scalar in scalars[:1]):
        # Compiled and never trained: Keras makes the arrays at the first step.
        return
    groups = slot_groups(optimizer)
    if names is not None and not _take_turns(names[-len(slots) :] if slots else []):
        groups = [(slot,) for group in groups for slot in group]
        # Keras 2 kept a number for each weight where AMSGrad would have had an array.
        wanted = len(weights) * len(groups)
        slots = slots[:wanted] if all(array.size == 1 for array in slots[wanted:]) else slots
    order = [(slot, weight) for group in groups for weight in weights for slot in group]
    _check_shapes(optimizer, order, slots)
    optimizer.bind(model.weights)
    numbers = {id(parameter): number for number, parameter in enumerate(optimizer.parameters)}
    state: dict[str, Any] = {"iterations": int(scalars[0]) if scalars else 0, **scaling}
    if len(scalars) > 1 and optimizer.schedule is None:
        state["learning_rate"] = float(scalars[1])
    for (slot, weight), array in zip(order, slots, strict=True):
        state[f"{slot}/{numbers[id(weight)]}"] = array.astype(weight.dtype)
    model.trainer.optimizer.set_state(state)


def _check_shapes(optimizer: Optimizer, order: Sequence[tuple[str, Parameter]], arrays: Sequence[np.ndarray]) -> None:
    if len(order) != len(arrays):
        raise ModelFileError(
            f"the file has {len(arrays)} arrays of the optimizer's, {optimizer.name} needs {len(order)}"
        )
    for (slot, weight), array in zip(order, arrays, strict=True):
        if array.shape != weight.shape or array.dtype.kind != "f":
            raise ModelFileError(
                f"the optimizer's {slot} of {weight.name!r} has shape {array.shape} and dtype {array.dtype}, expected "
                f"{weight.shape} floats"
            )


def _take_turns(names: Sequence[str]) -> bool:
    """Say whether the first two arrays belong to one weight, as Keras 3 and the last versions of Keras 2 write them."""
    if len(names) < 2:
        return True
    first, second = (set(name.partition(":")[0].replace("/", "_").split("_")) for name in names[:2])
    slots = {"momentum", "velocity", "m", "v"}
    return first - slots == second - slots and first != second
