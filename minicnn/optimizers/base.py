"""What optimizers have in common: whose gradients they follow, how fast, and what limits them."""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from minicnn import schedules
from minicnn.autograd import Tensor, as_array, no_grad
from minicnn.device import place, to_host
from minicnn.kernels.varying import vary
from minicnn.optimizers.arguments import check_number, check_optional, unknown_argument
from minicnn.optimizers.flat import Block, make_blocks
from minicnn.optimizers.norms import scale_to_norm, square_root, sum_of_squares
from minicnn.parameter import Parameter
from minicnn.registry import Configurable, Registry

registry = Registry("optimizer")

Self = TypeVar("Self", bound="Optimizer")


class Work(NamedTuple):
    """Parameters side by side that a step changes.

    Attributes:
        block: where they lie.
        span: their place in the block's arrays.
        run: the parameters themselves, in the order of their places.
    """

    block: Block
    span: slice
    run: Sequence[Parameter]


class Optimizer(Configurable):
    """Base of the optimizers: a subclass defines `slot_values` and `update`.

    A parameter without a gradient, or with ``trainable=False``, is left alone. Constraints are applied after the
    step. Clipping changes the gradients where they are.

    Args:
        learning_rate: a number of at least 0, or a schedule ``step -> number`` that is asked for every step, from 0.
        parameters: what to train, as for `bind`; None where that is said later.
        weight_decay: at least 0: shrink every weight by ``weight_decay * learning_rate`` of itself before each step
            (Loshchilov, Hutter 2019). None for none.
        clipnorm: above 0: scale the gradient of each parameter down to this Euclidean norm (Pascanu, Mikolov, Bengio
            2013, section 3.2).
        clipvalue: above 0: clip every entry of the gradients to [-clipvalue, clipvalue].
        global_clipnorm: above 0: scale all gradients together down to this Euclidean norm. At most one of the three.
        decay: at least 0: divide the learning rate by ``1 + decay * iterations``, as Keras 2 did.
        name: how messages begin; the class's in lower case unless given.

    Attributes:
        iterations: how many steps have been made.

    Raises:
        TypeError: what should be a number is none, among the parameters is something else, or an argument has a name
            that does not exist.
        ValueError: a number outside its range, or more than one way to clip.
    """

    def __init__(
        self,
        learning_rate: Any,
        *,
        parameters: Iterable[Parameter] | None = None,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        decay: float = 0.0,
        name: str | None = None,
        **unknown: Any,
    ):
        if unknown:
            raise TypeError(unknown_argument(type(self), next(iter(unknown))))
        self.name = name or type(self).__name__.lower()
        self.iterations = 0
        self.learning_rate = learning_rate
        self.decay = check_number(self.name, "decay", decay, allow_zero=True)
        self.weight_decay = check_optional(self.name, "weight_decay", weight_decay, allow_zero=True)
        self.clipnorm = check_optional(self.name, "clipnorm", clipnorm)
        self.clipvalue = check_optional(self.name, "clipvalue", clipvalue)
        self.global_clipnorm = check_optional(self.name, "global_clipnorm", global_clipnorm)
        clips = {key: getattr(self, key) for key in ("clipnorm", "clipvalue", "global_clipnorm")}
        given = {key: value for key, value in clips.items() if value is not None}
        if len(given) > 1:
            raise ValueError(f"{self.name}: expected at most one of clipnorm, clipvalue, global_clipnorm, got {given}")
        self.parameters: tuple[Parameter, ...] = ()
        self._blocks: list[Block] = []
        self._pending: dict[str, Any] = {}
        # By a parameter's id, the slots of one that was bound before, as long as it lives.
        self._kept: dict[int, tuple[weakref.ref[Parameter], dict[str, Any]]] = {}
        if parameters is not None:
            self.bind(parameters)

    # --- what a subclass defines

    # Whether `update` applies the weight decay itself, in the same sweep.
    decays_weights = False

    def slot_values(self) -> dict[str, float]:
        """Give the names of the arrays that go with every parameter, and the value that each starts from."""
        return {}

    def update(self, p: np.ndarray, g: np.ndarray, slots: Mapping[str, Any], learning_rate: float) -> None:
        """Change p in place.

        `self.iterations` counts the steps before this one. Weight decay is applied already, unless
        `decays_weights` says otherwise.

        Args:
            p: parameters (n,), side by side.
            g: their gradient (n,).
            slots: by the names of `slot_values`, the arrays (n,) that go with them; changed in place, too.
            learning_rate: of this step, `decay` included.
        """
        raise NotImplementedError(f"{type(self).__name__} must define update(p, g, slots, learning_rate)")

    # --- learning rate

    @property
    def learning_rate(self) -> float:
        """The rate of the next step, before `decay`. May be set to a number of at least 0 or a schedule."""
        if callable(self._learning_rate):
            return float(self._learning_rate(self.iterations))
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        if isinstance(value, Mapping):
            value = schedules.get(value)
        if not callable(value):
            # 0 is where a warm-up begins.
            value = check_number(self.name, "learning_rate", value, allow_zero=True)
        self._learning_rate = value

    @property
    def schedule(self) -> Any:
        """The schedule that sets the learning rate, or None."""
        return self._learning_rate if callable(self._learning_rate) else None

    def _effective_learning_rate(self) -> float:
        rate = self.learning_rate
        if not (math.isfinite(rate) and rate >= 0):
            raise ValueError(f"{self.name}: the schedule gave the learning rate {rate} for step {self.iterations}")
        return rate / (1.0 + self.decay * self.iterations)

    # --- the step

    def bind(self: Self, parameters: Iterable[Parameter]) -> Self:
        """Say whose gradients to follow; a parameter that comes twice is taken once.

        Binding the same parameters again changes nothing. Where other ones take their place, slots stay with their
        parameters, so that one optimizer may follow several models in turn; `iterations` counts all its steps.

        Raises:
            TypeError: for what is no Parameter.
            ValueError: what `set_state` was given before is of other parameters.
        """
        unique: dict[int, Parameter] = {}
        for parameter in parameters:
            if not isinstance(parameter, Parameter):
                raise TypeError(f"{self.name}: expected parameters (model.trainable_weights), got {parameter!r}")
            unique[id(parameter)] = parameter
        same = [id(parameter) for parameter in self.parameters] == list(unique)
        if not same:
            if self.parameters:
                self._keep_slots()
            self.parameters = tuple(unique.values())
            self._take_kept_slots()
            self._check_pending()
        return self

    def step(self) -> None:
        """Follow the gradients that backward has left in the parameters.

        Raises:
            ValueError: no parameters were bound, none of them has a gradient, or a schedule gave something else than
                a number of at least 0.
        """
        self.follow(self.work())

    def work(self) -> list[Work]:
        """Give what a step changes: the runs of parameters that have a gradient.

        Raises:
            ValueError: no parameters were bound, or none of them has a gradient.
        """
        if not self.parameters:
            raise ValueError(
                f"{self.name}.step(): no parameters to train; give them as {type(self).__name__}(..., "
                f"parameters=model.trainable_weights) or with bind()"
            )
        self._place_newcomers()
        work = [Work(block, span, run) for block in self._blocks for span, run in block.active()]
        if not work:
            raise ValueError(f"{self.name}.step(): no parameter has a gradient; call loss.backward() first")
        return work

    def follow(self, work: Sequence[Work]) -> None:
        """Take one step with these parameters, which `work` gave."""
        rate = vary(self._effective_learning_rate)
        self._clip(work)
        for block, span, _ in work:
            p = block.data[span]
            if self.weight_decay and not self.decays_weights:
                p *= 1.0 - self.weight_decay * rate
            slots = {name: slot[span] for name, slot in block.slots.items()}
            self.update(p, block.gradient[span], slots, rate)
        for _, _, run in work:
            for parameter in run:
                if parameter.constraint is not None:
                    self._constrain(parameter)
                parameter.bump_version()
        self.iterations += 1

    def _constrain(self, parameter: Parameter) -> None:
        with no_grad():
            values = as_array(parameter.constraint(parameter.data))  # type: ignore[misc]
        if values.shape != parameter.shape:
            raise ValueError(
                f"{self.name}: the constraint of {parameter.name!r} must give shape {parameter.shape}, got "
                f"{values.shape}"
            )
        parameter.data[...] = values

    def arrays(self) -> list[Any]:
        """Give the arrays that a step changes: those that the parameters lie in, and the slots."""
        return [array for block in self._blocks for array in (block.data, *block.slots.values())]

    def scale_loss(self, loss: Any) -> Any:
        """Give what backward is to start from in place of the loss: the loss itself, unless it is scaled."""
        return loss

    def zero_grad(self) -> None:
        """Forget the gradients, so that the next backward starts afresh."""
        for parameter in self.parameters:
            parameter.grad = None

    def apply_gradients(self, gradients_and_parameters: Iterable[tuple[Any, Parameter]]) -> None:
        """Take one step with gradients given as pairs (gradient, parameter), as Keras has it.

        Binds the parameters where none are bound yet. Pairs whose gradient is None are skipped.

        Raises:
            ValueError: a parameter that is not bound, a gradient of another shape than its parameter's, or no
                gradient at all.
        """
        pairs = [(gradient, parameter) for gradient, parameter in gradients_and_parameters]
        if not self.parameters:
            self.bind(parameter for _, parameter in pairs)
        bound = {id(parameter) for parameter in self.parameters}
        self.zero_grad()
        for gradient, parameter in pairs:
            if id(parameter) not in bound:
                raise ValueError(f"{self.name}: parameter {parameter.name!r} was not bound to this optimizer")
            if gradient is None:
                continue
            array = as_array(gradient)
            if array.shape != parameter.shape:
                raise ValueError(
                    f"{self.name}: the gradient of {parameter.name!r} must have shape {parameter.shape}, "
                    f"got {array.shape}"
                )
            parameter.grad = Tensor(array)
        self.step()
        self.zero_grad()

    def _place_newcomers(self) -> None:
        """Put trainable parameters that have no place yet into blocks: all at the first step, unfrozen ones later.

        Where parameters were moved to another device, all start anew, and the slots follow.
        """
        if any([block.is_stale for block in self._blocks]):
            self._pending = {key: value for key, value in self.get_state().items() if "/" in key}
            self._blocks = []
        if sum([len(block.parameters) for block in self._blocks]) == len(self.parameters):
            return
        placed = {id(parameter) for block in self._blocks for parameter in block.parameters}
        newcomers = [p for p in self.parameters if p.trainable and id(p) not in placed]
        if not newcomers:
            return
        blocks = make_blocks(newcomers, self.slot_values())
        self._blocks.extend(blocks)
        if self._pending:
            self._fill_slots(blocks)

    def _keep_slots(self) -> None:
        """Lay aside the slots of the parameters, for when they are bound again."""
        # In new containers, so that recorded steps notice.
        kept = {key: entry for key, entry in self._kept.items() if entry[0]() is not None}
        for key, array in self._pending.items():
            slot, number = key.split("/")
            parameter = self.parameters[int(number)]
            kept.setdefault(id(parameter), (weakref.ref(parameter), {}))[1][slot] = array
        for block in self._blocks:
            for parameter in block.parameters:
                slots = {n: slot[block.window(parameter)].reshape(parameter.shape) for n, slot in block.slots.items()}
                kept[id(parameter)] = weakref.ref(parameter), slots
        self._blocks, self._pending, self._kept = [], {}, kept

    def _take_kept_slots(self) -> None:
        for number, parameter in enumerate(self.parameters):
            reference, slots = self._kept.pop(id(parameter), (None, {}))
            if reference is not None and reference() is parameter:
                self._pending.update({f"{name}/{number}": array for name, array in slots.items()})

    def _clip(self, work: Sequence[Work]) -> None:
        if self.clipvalue is not None:
            for block, span, _ in work:
                g = block.gradient[span]
                np.clip(g, -self.clipvalue, self.clipvalue, out=g)
        elif self.clipnorm is not None:
            for block, _, run in work:
                for parameter in run:
                    g = block.gradient[block.window(parameter)]
                    scale_to_norm(g, self.clipnorm, square_root(sum_of_squares(g)))
        elif self.global_clipnorm is not None:
            gradients = [block.gradient[span] for block, span, _ in work]
            norm = square_root(sum(sum_of_squares(g) for g in gradients))
            for g in gradients:
                scale_to_norm(g, self.global_clipnorm, norm)

    # --- state

    def get_state(self) -> dict[str, Any]:
        """Give what resuming needs.

        Returns:
            "iterations"; "learning_rate" unless a schedule sets it; and each slot of each parameter, with the
            parameter's shape, as ``"slot/number"`` with the parameter's place in `parameters`. Arrays are copies.
        """
        state: dict[str, Any] = {"iterations": self.iterations}
        if self.schedule is None:
            state["learning_rate"] = self.learning_rate
        state.update({key: to_host(array).copy() for key, array in self._pending.items()})
        numbers = {id(parameter): number for number, parameter in enumerate(self.parameters)}
        for block in self._blocks:
            for parameter in block.parameters:
                for name, slot in block.slots.items():
                    array = to_host(slot[block.window(parameter)]).reshape(parameter.shape).copy()
                    state[f"{name}/{numbers[id(parameter)]}"] = array
        return state

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `get_state` gave; before or after `bind`, with the same parameters in the same order.

        Raises:
            ValueError: entries that this optimizer does not have, or whose shapes do not fit.
        """
        slots = {key: to_host(value) for key, value in state.items() if "/" in key}
        names = set(self.slot_values())
        unknown = sorted({key for key in state if "/" not in key} - {"iterations", "learning_rate"})
        unknown += sorted(key for key in slots if key.split("/")[0] not in names)
        if unknown:
            raise ValueError(f"{self.name}: state has {unknown}, but the slots are {sorted(names)}")
        self.iterations = int(state["iterations"])
        if "learning_rate" in state and self.schedule is None:
            self.learning_rate = float(state["learning_rate"])
        self._pending = slots
        # Slots that the state does not mention must not keep what they hold now.
        self._blocks = []
        if self.parameters:
            self._check_pending()

    def _check_pending(self) -> None:
        """Refuse state of other parameters before anything is changed by it."""
        for key, array in self._pending.items():
            slot, number = key.split("/")
            if int(number) >= len(self.parameters):
                raise ValueError(
                    f"{self.name}: the state has {key!r}, but there are only {len(self.parameters)} parameters"
                )
            parameter = self.parameters[int(number)]
            if array.shape != parameter.shape:
                raise ValueError(
                    f"{self.name}: the saved {slot} of parameter {parameter.name!r} has shape {array.shape}, "
                    f"expected {parameter.shape}"
                )

    def _fill_slots(self, blocks: Sequence[Block]) -> None:
        """Move pending state into the slots of new blocks."""
        numbers = {id(parameter): number for number, parameter in enumerate(self.parameters)}
        for block in blocks:
            for parameter in block.parameters:
                for name, slot in block.slots.items():
                    array = self._pending.pop(f"{name}/{numbers[id(parameter)]}", None)
                    if array is not None:
                        slot[block.window(parameter)] = place(array.ravel(), parameter.device)

    def get_config(self) -> dict[str, Any]:
        """Give the arguments that make an equal optimizer, without its parameters and state."""
        names = ("weight_decay", "clipnorm", "clipvalue", "global_clipnorm", "decay", "name")
        config = {**super().get_config(), **{name: getattr(self, name) for name in names}}
        config.pop("parameters", None)
        schedule = self.schedule
        config["learning_rate"] = self.learning_rate if schedule is None else schedules.serialize(schedule)
        return config

    def __getstate__(self) -> dict[str, Any]:
        # Blocks are views of arenas that the copied parameters will not share: the copy makes its own.
        slots = {key: value for key, value in self.get_state().items() if "/" in key}
        return {**self.__dict__, "_blocks": [], "_pending": slots, "_kept": {}}
