"""Loss scaling: gradients of float16 kept within its range."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from minicnn.autograd import Tensor
from minicnn.device import array_module, place, to_host
from minicnn.functional.geometry import whole
from minicnn.optimizers.arguments import check_number
from minicnn.optimizers.base import Optimizer, Work, registry
from minicnn.parameter import Parameter


def _of_inner(name: str) -> property:
    """An attribute or a method that is the inner optimizer's."""

    def get(self: LossScaleOptimizer) -> Any:
        return getattr(self.inner_optimizer, name)

    def set_(self: LossScaleOptimizer, value: Any) -> None:
        setattr(self.inner_optimizer, name, value)

    return property(get, set_, doc=f"The inner optimizer's `{name}`.")


@registry.register()
class LossScaleOptimizer(Optimizer):
    """Lets another optimizer follow the gradients of a loss that backward sees `dynamic_scale` times as large.

    So small gradients do not vanish in float16 on their way back; before the step they are divided by the scale again.
    A step whose gradients are not all finite is left out, and the scale is halved; after `dynamic_growth_steps` steps
    that were none of these it is doubled (Micikevicius et al. 2018, section 3.2, with Keras' numbers).

    On a GPU the host never waits for the answer: the step is made, and what it changed is put back there where a
    gradient was not finite. There `iterations`, by which schedules and the first steps of Adam go, counts such a step;
    on a CPU it does not.

    Args:
        inner_optimizer: makes the steps: an optimizer or its name. Learning rate, clipping and weight decay are its
            own, and read and set here.
        initial_scale: what the scale starts from, above 0.
        dynamic_growth_steps: finite steps to a doubling, at least 1.
        name: how messages begin.

    Raises:
        TypeError: the inner optimizer is none, or scales itself; the number of steps is no whole number.
        ValueError: a number outside its range, or an unknown name.

    >>> optimizer = LossScaleOptimizer("sgd", initial_scale=8.0)
    >>> optimizer.scale_loss(0.5), optimizer.dynamic_scale
    (4.0, 8.0)
    """

    def __init__(
        self,
        inner_optimizer: Any,
        initial_scale: float = 2.0**15,
        dynamic_growth_steps: int = 2000,
        name: str | None = None,
    ):
        name = name or "loss_scale_optimizer"
        inner = registry.get(inner_optimizer)
        if not isinstance(inner, Optimizer) or isinstance(inner, LossScaleOptimizer):
            raise TypeError(f"{name}: expected inner_optimizer to be an optimizer that does not scale, got {inner!r}")
        # Not the base's constructor: what it sets is the inner optimizer's here, which may have made steps already.
        self.name = name
        self.inner_optimizer = inner
        self.initial_scale = check_number(name, "initial_scale", initial_scale)
        self.dynamic_growth_steps = whole(dynamic_growth_steps, "dynamic_growth_steps", name)
        # Scale, and finite steps since it changed: arrays of no axes, where the parameters live.
        self._scale: Any = np.array(self.initial_scale, np.float32)
        self._counter: Any = np.array(0, np.int32)

    # --- what is the inner optimizer's

    learning_rate: Any = _of_inner("learning_rate")
    schedule: Any = _of_inner("schedule")
    decay: Any = _of_inner("decay")
    weight_decay: Any = _of_inner("weight_decay")
    clipnorm: Any = _of_inner("clipnorm")
    clipvalue: Any = _of_inner("clipvalue")
    global_clipnorm: Any = _of_inner("global_clipnorm")
    iterations: Any = _of_inner("iterations")
    parameters: Any = _of_inner("parameters")
    decays_weights: Any = _of_inner("decays_weights")
    slot_values: Any = _of_inner("slot_values")
    update: Any = _of_inner("update")
    work: Any = _of_inner("work")
    follow: Any = _of_inner("follow")

    def bind(self, parameters: Iterable[Parameter]) -> LossScaleOptimizer:
        """Bind the inner optimizer."""
        self.inner_optimizer.bind(parameters)
        return self

    # --- the step

    @property
    def dynamic_scale(self) -> float:
        """What the loss is multiplied by; where it is on a GPU, the host waits for it."""
        return float(self._scale)

    @property
    def step_counter(self) -> int:
        """Steps with finite gradients since the scale changed."""
        return int(self._counter)

    def arrays(self) -> list[Any]:
        """Give the arrays that a step changes: the inner optimizer's, the scale and the counter."""
        return [*self.inner_optimizer.arrays(), self._scale, self._counter]

    def scale_loss(self, loss: Any) -> Any:
        """Give the loss times the scale."""
        if not isinstance(loss, Tensor):
            return loss * self.dynamic_scale
        self._move(array_module(loss.data))
        return loss * self._scale.astype(loss.dtype)

    def step(self) -> None:
        """Follow the gradients, which are those of the scaled loss, or leave the step out.

        Raises:
            ValueError: as the inner optimizer's `step` does.
        """
        work = self.inner_optimizer.work()
        gradients = [block.gradient[span] for block, span, _ in work]
        xp = array_module(gradients[0])
        self._move(xp)
        finite = xp.isfinite(gradients[0]).all()
        for gradient in gradients[1:]:
            finite = finite & xp.isfinite(gradient).all()
        if xp is np and not finite:
            self._count(finite)
            return
        for gradient in gradients:
            gradient /= self._scale.astype(gradient.dtype)
        if xp is np:
            self.inner_optimizer.follow(work)
        else:
            self._follow_if(finite, work)
        self._count(finite)

    def _follow_if(self, finite: Any, work: Sequence[Work]) -> None:
        """Make the step, and put back what it changed where it should not have been made."""
        changing = [array[span] for block, span, _ in work for array in (block.data, *block.slots.values())]
        before = [array.copy() for array in changing]
        self.inner_optimizer.follow(work)
        for array, old in zip(changing, before, strict=True):
            array[...] = np.where(finite, array, old)

    def _count(self, finite: Any) -> None:
        counted = np.where(finite, self._counter + 1, 0)
        grown = counted == self.dynamic_growth_steps
        factor = np.where(finite, np.where(grown, 2.0, 1.0), 0.5)
        self._scale[...] = self._scale * factor
        self._counter[...] = np.where(grown, 0, counted)

    def _move(self, xp: Any) -> None:
        """Bring scale and counter to where the gradients are."""
        if array_module(self._scale) is not xp:
            device = "cpu" if xp is np else "cuda"
            self._scale, self._counter = place(self._scale, device), place(self._counter, device)

    # --- state

    def get_state(self) -> dict[str, Any]:
        """Give the inner optimizer's state, the scale and how many steps were finite since it changed."""
        scaling = {"dynamic_scale": self.dynamic_scale, "step_counter": self.step_counter}
        return {**self.inner_optimizer.get_state(), **scaling}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `get_state` gave; the state of the inner optimizer alone leaves the scale as it is.

        Raises:
            ValueError: as the inner optimizer does; a scale that is not above 0.
        """
        rest = dict(state)
        scale, counter = rest.pop("dynamic_scale", self.dynamic_scale), rest.pop("step_counter", self.step_counter)
        scale = check_number(self.name, "dynamic_scale", scale)
        self.inner_optimizer.set_state(rest)
        self._scale, self._counter = np.array(scale, np.float32), np.array(counter, np.int32)

    def get_config(self) -> dict[str, Any]:
        """Give the arguments that make an equal optimizer."""
        return {
            "inner_optimizer": registry.serialize(self.inner_optimizer),
            "initial_scale": self.initial_scale,
            "dynamic_growth_steps": self.dynamic_growth_steps,
            "name": self.name,
        }

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_scale": to_host(self._scale), "_counter": to_host(self._counter)}
