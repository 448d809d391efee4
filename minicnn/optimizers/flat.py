"""Parameters side by side in memory, so that an optimizer's step is one sweep over one array.

At its first step an optimizer moves its parameters into an `Arena`. What lies there without interruption and belongs
to the same optimizer is a `Block`, with the optimizer's slots (momentum and the like) as further arrays of the same
length. Parameters that another optimizer moved before stay where they are, and make blocks of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from minicnn.arena import Arena, aligned_zeros
from minicnn.autograd import Tensor
from minicnn.parameter import Parameter


class Block:
    """A run of parameters that lie one after the other in an arena.

    Args:
        parameters: in the order of their places.
        slots: the names of the optimizer's slots and the value that each starts from.

    Attributes:
        data, gradient: what the run covers of the arena's arrays, (n,).
        slots: by name, arrays (n,) beside them.

    Raises:
        ValueError: the first parameter lies in no arena.
    """

    def __init__(self, parameters: Sequence[Parameter], slots: dict[str, float]):
        first, last = parameters[0], parameters[-1]
        arena = first.arena
        if arena is None:
            raise ValueError(f"parameter {first.name!r} lies in no arena")
        self.parameters = tuple(parameters)
        self.arena = arena
        self.start = first.arena_offset
        window = slice(self.start, last.arena_offset + last.size)
        self.data = arena.data[window]
        self.gradient = arena.gradient[window]
        # Noted now: a parameter that leaves the arena forgets its place there.
        begins = {id(parameter): parameter.arena_offset - self.start for parameter in parameters}
        self._windows = {id(p): slice(begins[id(p)], begins[id(p)] + p.size) for p in parameters}
        self.slots: dict[str, Any] = {}
        for name, value in slots.items():
            self.slots[name] = aligned_zeros(self.data.size, self.data.dtype, first.device)
            self.slots[name].fill(value)

    @property
    def is_stale(self) -> bool:
        """Whether a parameter has left the arena: it was moved to another device."""
        return any(parameter.arena is not self.arena for parameter in self.parameters)

    def window(self, parameter: Parameter) -> slice:
        """Give the place of a parameter in the block's arrays."""
        return self._windows[id(parameter)]

    def active(self) -> Iterator[tuple[slice, Sequence[Parameter]]]:
        """Give the runs of parameters that are trainable and have a gradient: mostly one run, the whole block.

        Gradients that lie elsewhere are brought into the block first.
        """
        run: list[Parameter] = []
        for parameter in self.parameters:
            gradient = parameter.grad
            if gradient is not None and parameter.trainable:
                buffer = parameter.gradient_buffer
                if buffer is not None and gradient.data is not buffer:
                    buffer[...] = gradient.data
                    parameter.grad = Tensor(buffer)
                run.append(parameter)
            elif run:
                yield self._span(run), run
                run = []
        if run:
            yield self._span(run), run

    def _span(self, run: Sequence[Parameter]) -> slice:
        return slice(self.window(run[0]).start, self.window(run[-1]).stop)


def make_blocks(parameters: Sequence[Parameter], slots: dict[str, float]) -> list[Block]:
    """Move parameters that lie in no arena yet into one for each dtype and device, and group all of them into blocks.

    Args:
        parameters: those to group.
        slots: the names of the optimizer's slots and the value that each starts from.
    """
    homeless = [parameter for parameter in parameters if parameter.arena is None]
    for dtype, device in sorted({(p.dtype, p.device) for p in homeless}, key=str):
        move_into_arena([p for p in homeless if (p.dtype, p.device) == (dtype, device)], dtype, device)
    arenas: dict[int, list[Parameter]] = {}
    for parameter in parameters:
        arenas.setdefault(id(parameter.arena), []).append(parameter)
    return [Block(run, slots) for residents in arenas.values() for run in adjacent_runs(residents)]


def move_into_arena(parameters: Sequence[Parameter], dtype: np.dtype, device: str = "cpu") -> None:
    """Make one arena and move the parameters into it, in their order."""
    arena = Arena([parameter.size for parameter in parameters], dtype, device)
    for parameter, offset in zip(parameters, arena.offsets, strict=True):
        parameter.move_into(arena, offset)


def adjacent_runs(residents: Sequence[Parameter]) -> Iterator[list[Parameter]]:
    """Split the parameters of one arena wherever something else lies between two of them."""
    run: list[Parameter] = []
    for parameter in sorted(residents, key=lambda resident: resident.arena_offset):
        step = Arena.alignment // parameter.dtype.itemsize
        if run and parameter.arena_offset != run[-1].arena_offset + -(-run[-1].size // step) * step:
            yield run
            run = []
        run.append(parameter)
    if run:
        yield run
