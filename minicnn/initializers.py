"""What weights start as: callables ``initializer(shape, dtype, generator) -> array``.

One of your own may also have Keras' form, ``initializer(shape, dtype=None) -> array``, see `with_generator`.

The last axis of a weight is its output, the one before it its input, and the axes before that the window of a
convolution, so that a convolution kernel (KH, KW, C, F) has fan_in = KH*KW*C and fan_out = KH*KW*F.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minicnn import random
from minicnn.registry import Configurable, Registry

registry = Registry("initializer")
serialize = registry.serialize


def get(identifier: Any) -> Any:
    """Turn a name, class, configuration or callable into an initializer; None stays None.

    Raises:
        TypeError: for anything else.
        ValueError: an unknown name.

    >>> get("he_normal").scale
    2.0
    """
    return registry.get(identifier)


def with_generator(initializer: Callable[..., Any]) -> Callable[..., Any]:
    """Give a callable of (shape, dtype, generator): the initializer itself, or what calls it as Keras does.

    A third argument that has a default and is not called ``generator`` is the initializer's own and left alone.

    Raises:
        TypeError: it takes neither (shape, dtype, generator) nor (shape, dtype).

    >>> with_generator(lambda shape, dtype=None: np.ones(shape, dtype))((2,), "float32", None)
    array([1., 1.], dtype=float32)
    """
    try:
        signature = inspect.signature(initializer)
    except ValueError:
        return initializer  # written in C
    third = [*signature.parameters.values(), None, None, None][2]
    if _takes(signature, 0, 0, 0) and (third is None or third.default is third.empty or third.name == "generator"):
        return initializer
    if _takes(signature, 0, dtype=0):
        return lambda shape, dtype, generator: initializer(shape, dtype=dtype)
    if _takes(signature, 0, 0):
        return lambda shape, dtype, generator: initializer(shape, dtype)
    raise TypeError(f"expected a callable of (shape, dtype) or (shape, dtype, generator), got one of {signature}")


def _takes(signature: inspect.Signature, *arguments: Any, **options: Any) -> bool:
    try:
        signature.bind(*arguments, **options)
    except TypeError:
        return False
    return True


def fans(shape: Sequence[int]) -> tuple[int, int]:
    """Give (fan_in, fan_out): how many inputs meet in an output, and how many outputs an input reaches.

    >>> fans((3, 3, 8, 16))
    (72, 144)
    """
    if len(shape) == 0:
        return 1, 1
    if len(shape) == 1:
        return shape[0], shape[0]
    window = math.prod(shape[:-2])
    return window * shape[-2], window * shape[-1]


class Initializer(Configurable):
    """Base of the initializers."""

    def __call__(
        self, shape: Sequence[int], dtype: Any = "float32", generator: np.random.Generator | None = None
    ) -> np.ndarray:
        """Make an array.

        Args:
            shape: of the array.
            dtype: float32 or float64.
            generator: what random ones draw from; None draws from minicnn's seed.
        """
        raise NotImplementedError(f"{type(self).__name__} must define __call__(shape, dtype, generator)")


@registry.register()
class Zeros(Initializer):
    """All zeros."""

    def __call__(
        self, shape: Sequence[int], dtype: Any = "float32", generator: np.random.Generator | None = None
    ) -> np.ndarray:
        """Make an array of zeros."""
        return np.zeros(shape, dtype)


@registry.register()
class Ones(Initializer):
    """All ones."""

    def __call__(
        self, shape: Sequence[int], dtype: Any = "float32", generator: np.random.Generator | None = None
    ) -> np.ndarray:
        """Make an array of ones."""
        return np.ones(shape, dtype)


@registry.register()
class Constant(Initializer):
    """The same number everywhere.

    Args:
        value: the number.
    """

    def __init__(self, value: float = 0.0):
        self.value = value

    def __call__(
        self, shape: Sequence[int], dtype: Any = "float32", generator: np.random.Generator | None = None
    ) -> np.ndarray:
        """Make an array of the number."""
        return np.full(shape, self.value, dtype)


@registry.register("eye")
class Identity(Initializer):
    """``gain`` on the diagonal of a matrix, zero elsewhere.

    Args:
        gain: the number on the diagonal.

    Raises:
        ValueError: at a call, for a shape that does not have two axes.
    """

    def __init__(self, gain: float = 1.0):
        self.gain = gain

    def __call__(
        self, shape: Sequence[int], dtype: Any = "float32", generator: np.random.Generator | None = None
    ) -> np.ndarray:
        """Make the matrix."""
        if len(shape) != 2:
            raise ValueError(f"Identity: expected a shape of 2 axes, got {tuple(shape)}")
        return self.gain * np.eye(*shape, dtype=dtype)


class RandomInitializer(Initializer):
    """Base of the random initializers.

    Attributes:
        seed: None draws from the generator of the call; an int gives the same values at every call, whoever calls.
    """

    seed: int | None = None

    def __call__(
        self, shape: Sequence[int], dtype: Any = "float32", generator: np.random.Generator | None = None
    ) -> np.ndarray:
        """Draw an array.

        Raises:
            TypeError: a dtype other than float32 and float64.
        """
        dtype = np.dtype(dtype)
        if dtype not in (np.float32, np.float64):
            raise TypeError(f"{type(self).__name__}: expected dtype float32 or float64, got {dtype}")
        if self.seed is not None:
            generator = np.random.default_rng(self.seed)
        elif generator is None:
            generator = random.generator(random.spawn())
        return self.draw(tuple(shape), dtype, generator)

    def draw(self, shape: tuple[int, ...], dtype: np.dtype, generator: np.random.Generator) -> np.ndarray:
        """Draw from `generator`; what a subclass defines."""
        raise NotImplementedError(f"{type(self).__name__} must define draw(shape, dtype, generator)")


@registry.register()
class RandomNormal(RandomInitializer):
    """The normal distribution N(mean, stddev^2).

    Args:
        mean, stddev: of the distribution.
        seed: see `RandomInitializer`.
    """

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None):
        self.mean, self.stddev, self.seed = mean, stddev, seed

    def draw(self, shape: tuple[int, ...], dtype: np.dtype, generator: np.random.Generator) -> np.ndarray:
        """Draw from N(mean, stddev^2)."""
        return normal(generator, shape, dtype) * self.stddev + self.mean


@registry.register()
class RandomUniform(RandomInitializer):
    """The uniform distribution on [minval, maxval).

    Args:
        minval, maxval: the bounds.
        seed: see `RandomInitializer`.
    """

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None):
        self.minval, self.maxval, self.seed = minval, maxval, seed

    def draw(self, shape: tuple[int, ...], dtype: np.dtype, generator: np.random.Generator) -> np.ndarray:
        """Draw from U[minval, maxval)."""
        return uniform(generator, shape, dtype) * (self.maxval - self.minval) + self.minval


@registry.register()
class TruncatedNormal(RandomInitializer):
    """The normal distribution, drawn again wherever it falls 2 standard deviations or more from the mean.

    Args:
        mean, stddev: of the distribution before it is cut off.
        seed: see `RandomInitializer`.
    """

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None):
        self.mean, self.stddev, self.seed = mean, stddev, seed

    def draw(self, shape: tuple[int, ...], dtype: np.dtype, generator: np.random.Generator) -> np.ndarray:
        """Draw from N(mean, stddev^2), cut off at 2 standard deviations."""
        return truncated_normal(generator, shape, dtype) * self.stddev + self.mean


@registry.register()
class VarianceScaling(RandomInitializer):
    """A variance of ``scale / n`` with n the fan_in, the fan_out or their mean.

    (He, Zhang, Ren, Sun 2015, Delving deep into rectifiers, section 2.2, for why n is what it is.)

    Args:
        scale: above 0.
        mode: "fan_in", "fan_out" or "fan_avg", their mean.
        distribution: "truncated_normal" (or "normal"), "untruncated_normal" or "uniform".
        seed: see `RandomInitializer`.

    Raises:
        ValueError: a scale that is not above 0, another mode or distribution.
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | None = None,
    ):
        if not scale > 0:
            raise ValueError(f"VarianceScaling: expected scale > 0, got {scale}")
        distribution = {"normal": "truncated_normal"}.get(distribution, distribution)
        for name, value, allowed in (
            ("mode", mode, ("fan_in", "fan_out", "fan_avg")),
            ("distribution", distribution, ("truncated_normal", "untruncated_normal", "uniform")),
        ):
            if value not in allowed:
                raise ValueError(f"VarianceScaling: expected {name} to be one of {allowed}, got {value!r}")
        self.scale, self.mode, self.distribution, self.seed = scale, mode, distribution, seed

    def draw(self, shape: tuple[int, ...], dtype: np.dtype, generator: np.random.Generator) -> np.ndarray:
        """Draw with the variance that the fans of `shape` ask for."""
        fan_in, fan_out = fans(shape)
        n = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self.scale / max(1.0, n)
        if self.distribution == "uniform":
            limit = math.sqrt(3.0 * variance)
            return uniform(generator, shape, dtype) * (2 * limit) - limit
        if self.distribution == "untruncated_normal":
            return normal(generator, shape, dtype) * math.sqrt(variance)
        return truncated_normal(generator, shape, dtype) * (math.sqrt(variance) / TRUNCATED_STDDEV)


class _Scaled(VarianceScaling):
    """A `VarianceScaling` with everything but the seed decided."""

    settings: tuple[float, str, str]

    def __init__(self, seed: int | None = None):
        super().__init__(*self.settings, seed=seed)


@registry.register()
class GlorotUniform(_Scaled):
    """Uniform with variance 2 / (fan_in + fan_out) (Glorot, Bengio 2010, equation 16).

    Args:
        seed: see `RandomInitializer`.
    """

    settings = (1.0, "fan_avg", "uniform")


@registry.register()
class GlorotNormal(_Scaled):
    """Truncated normal with variance 2 / (fan_in + fan_out) (Glorot, Bengio 2010, equation 12).

    Args:
        seed: see `RandomInitializer`.
    """

    settings = (1.0, "fan_avg", "truncated_normal")


@registry.register()
class HeUniform(_Scaled):
    """Uniform with variance 2 / fan_in (He, Zhang, Ren, Sun 2015, equation 10).

    Args:
        seed: see `RandomInitializer`.
    """

    settings = (2.0, "fan_in", "uniform")


@registry.register()
class HeNormal(_Scaled):
    """Truncated normal with variance 2 / fan_in (He, Zhang, Ren, Sun 2015, equation 10).

    Args:
        seed: see `RandomInitializer`.
    """

    settings = (2.0, "fan_in", "truncated_normal")


@registry.register()
class LecunUniform(_Scaled):
    """Uniform with variance 1 / fan_in (LeCun, Bottou, Orr, Müller 1998, Efficient BackProp, section 4.6).

    Args:
        seed: see `RandomInitializer`.
    """

    settings = (1.0, "fan_in", "uniform")


@registry.register()
class LecunNormal(_Scaled):
    """Truncated normal with variance 1 / fan_in (LeCun, Bottou, Orr, Müller 1998, section 4.6).

    Args:
        seed: see `RandomInitializer`.
    """

    settings = (1.0, "fan_in", "truncated_normal")


@registry.register()
class Orthogonal(RandomInitializer):
    """``gain`` times a random matrix with orthonormal rows or columns, whichever are fewer.

    All axes but the last count as rows (Saxe, McClelland, Ganguli 2014, section 3).

    Args:
        gain: the length of each row or column.
        seed: see `RandomInitializer`.

    Raises:
        ValueError: at a call, for a shape of fewer than 2 axes.
    """

    def __init__(self, gain: float = 1.0, seed: int | None = None):
        self.gain, self.seed = gain, seed

    def draw(self, shape: tuple[int, ...], dtype: np.dtype, generator: np.random.Generator) -> np.ndarray:
        """Orthonormalise a normal matrix."""
        if len(shape) < 2:
            raise ValueError(f"Orthogonal: expected a shape of at least 2 axes, got {shape}")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        vectors = generator.standard_normal((min(rows, columns), max(rows, columns)))
        orthonormalise(vectors)
        matrix = vectors if rows < columns else vectors.T
        return np.ascontiguousarray(self.gain * matrix.reshape(shape), dtype=dtype)


# The standard deviation of the standard normal distribution cut off at -2 and 2.
TRUNCATED_STDDEV = 0.87962566103423978


def normal(generator: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Draw from N(0, 1) in `dtype`."""
    return generator.standard_normal(shape, dtype=dtype.type)


def uniform(generator: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Draw from U[0, 1) in `dtype`."""
    return generator.random(shape, dtype=dtype.type)


def truncated_normal(generator: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Draw from N(0, 1) in `dtype`, again wherever the value is not within (-2, 2)."""
    values = normal(generator, (math.prod(shape),), dtype)
    outside = np.flatnonzero(np.abs(values) >= 2)
    while outside.size:
        values[outside] = normal(generator, (outside.size,), dtype)
        outside = outside[np.abs(values[outside]) >= 2]
    return values.reshape(shape)


def orthonormalise(vectors: np.ndarray) -> None:
    """Make the rows of a matrix orthonormal in place by the modified Gram-Schmidt process.

    Not LAPACK's QR: its bits depend on the number of threads. Twice, because once leaves errors of the size of
    the condition number (Giraud, Langou, Rozloznik 2005).
    """
    for _ in range(2):
        for row in range(len(vectors)):
            vector = vectors[row]
            vector /= math.sqrt(float(np.sum(vector * vector)))
            rest = vectors[row + 1 :]
            rest -= np.sum(rest * vector, axis=1, keepdims=True) * vector
