"""Several tensors become one: where branches meet."""

from __future__ import annotations

import functools
from typing import Any

import minicnn.functional as F
from minicnn.autograd import Tensor
from minicnn.layers.arguments import whole_axis
from minicnn.layers.base import Layer, registry
from minicnn.layers.shapes import Shape, is_shape_list


class _Merge(Layer):
    """Called on a list of tensors."""

    #: Fewest inputs that make sense.
    least = 2
    most: int | None = None

    def check_rank(self, input_shape: Any) -> None:
        """Raise ValueError where not a list of enough inputs came."""
        count = len(input_shape) if is_shape_list(input_shape) else 1
        if not is_shape_list(input_shape) or count < self.least or count > (self.most or count):
            wanted = f"exactly {self.most}" if self.most else f"at least {self.least}"
            raise ValueError(
                f"{self.describe()}: expects a list of {wanted} tensors, but "
                f"{f'{count} came' if is_shape_list(input_shape) else f'one of shape {input_shape} came'}"
            )

    def check_input(self, input_shape: Any) -> None:
        """Raise ValueError where the shapes do not fit each other."""
        self.check_rank(input_shape)
        self.merged(input_shape)

    def merged(self, input_shape: list[Shape]) -> Shape:
        """The shape that comes out."""
        raise NotImplementedError

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Give the merged shape."""
        self.check_rank(input_shape)
        return self.merged(input_shape)


class _ElementwiseMerge(_Merge):
    """Value by value; an axis of 1 is stretched."""

    def merged(self, input_shape: list[Shape]) -> Shape:
        """Give the shape that all inputs stretch to."""
        if len({len(shape) for shape in input_shape}) == 1:
            sizes = [_common(axis_sizes) for axis_sizes in zip(*input_shape, strict=True)]
            if -1 not in sizes:
                return tuple(sizes)
        raise ValueError(
            f"{self.describe()}: the inputs must have the same shape (or 1 where one is stretched), but {input_shape} "
            "came"
        )

    def combine(self, x: Any, y: Any) -> Any:
        """Give the value for two inputs; more are taken from left to right."""
        raise NotImplementedError

    def call(self, x: list[Tensor]) -> Tensor:
        """Combine all inputs."""
        return functools.reduce(self.combine, x)


def _common(sizes: tuple[int | None, ...]) -> int | None:
    """The size that all stretch to, None where open, -1 where there is none."""
    known = {size for size in sizes if size not in (None, 1)}
    if len(known) > 1:
        return -1
    if known:
        return known.pop()
    return None if None in sizes else 1


@registry.register()
class Add(_ElementwiseMerge):
    """Sum of the inputs: x1 + x2 + ... (a residual connection: He et al. 2016)."""

    def combine(self, x: Any, y: Any) -> Any:
        """x + y."""
        return F.add(x, y)


@registry.register()
class Subtract(_ElementwiseMerge):
    """Difference of two inputs: x1 - x2."""

    most = 2

    def combine(self, x: Any, y: Any) -> Any:
        """x - y."""
        return F.subtract(x, y)


@registry.register()
class Multiply(_ElementwiseMerge):
    """Product of the inputs, value by value: x1 x2 ..."""

    def combine(self, x: Any, y: Any) -> Any:
        """Multiply."""
        return F.multiply(x, y)


@registry.register()
class Average(_ElementwiseMerge):
    """Mean of the inputs, value by value: (x1 + x2 + ... + xn) / n."""

    def combine(self, x: Any, y: Any) -> Any:
        """x + y."""
        return F.add(x, y)

    def call(self, x: list[Tensor]) -> Tensor:
        """Divide the sum by the number of inputs."""
        return super().call(x) / float(len(x))


@registry.register()
class Maximum(_ElementwiseMerge):
    """Largest of the inputs, value by value."""

    def combine(self, x: Any, y: Any) -> Any:
        """max(x, y)."""
        return F.maximum(x, y)


@registry.register()
class Minimum(_ElementwiseMerge):
    """Smallest of the inputs, value by value."""

    def combine(self, x: Any, y: Any) -> Any:
        """min(x, y)."""
        return F.minimum(x, y)


@registry.register()
class Concatenate(_Merge):
    """The inputs one after the other along an axis.

    Args:
        axis: -1 joins channels in channels-last pictures, 1 in channels-first ones.
    """

    least = 1

    def __init__(self, axis: int = -1, **options: Any):
        super().__init__(**options)
        self.axis = whole_axis(axis, self)

    def merged(self, input_shape: list[Shape]) -> Shape:
        """Give the common shape, with the sizes along the axis added up."""
        rank = len(input_shape[0])
        if any(len(shape) != rank for shape in input_shape) or not -rank <= self.axis < rank or self.axis % rank == 0:
            raise ValueError(
                f"{self.describe()}: the inputs must have the same number of axes, and axis {self.axis} among them "
                f"other than the batch, but {input_shape} came"
            )
        axis = self.axis % rank
        joined: list[int | None] = []
        for i, sizes in enumerate(zip(*input_shape, strict=True)):
            known = {size for size in sizes if size is not None}
            if i == axis:
                joined.append(None if None in sizes else sum(size for size in sizes if size is not None))
            elif len(known) > 1:
                raise ValueError(
                    f"{self.describe()}: the inputs must agree in every axis but {self.axis}, but {input_shape} came"
                )
            else:
                joined.append(known.pop() if known else None)
        return tuple(joined)

    def call(self, x: list[Tensor]) -> Tensor:
        """Join the inputs."""
        return F.concatenate(x, axis=self.axis)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), "axis": self.axis}
