"""Dropout: noise in training that keeps features from relying on each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import minicnn.functional as F
from minicnn import random as seeds
from minicnn.autograd import Tensor
from minicnn.device import array_module
from minicnn.kernels.varying import vary
from minicnn.layers.arguments import number
from minicnn.layers.base import Layer, registry
from minicnn.layers.shapes import Shape


@registry.register()
class Dropout(Layer):
    """In training each value is 0 with probability rate, else divided by 1 - rate; otherwise nothing happens.

    (Srivastava et al. 2014, Dropout: a simple way to prevent neural networks from overfitting.) Masks are
    counter-based: they depend on the layer's seed and on how many were drawn before, never on threads.

    Args:
        rate: share of values dropped, in [0, 1].
        noise_shape: shape of the mask, None where it follows x; a 1 drops a whole axis together.
        seed: of the masks; None takes it from the model.
    """

    one_input = True

    def __init__(
        self,
        rate: float,
        noise_shape: Sequence[int | None] | None = None,
        seed: int | None = None,
        **options: Any,
    ):
        super().__init__(**options)
        self.rate = number(rate, "rate", self, least=0, most=1)
        self.noise_shape = None if noise_shape is None else tuple(noise_shape)
        self.seed = seed
        self._key: int | None = None
        self._step = 0

    @property
    def key(self) -> int:
        """64 bits that the layer's masks are keyed by."""
        if self._key is None:
            source = self._take_seed() if self.seed is None else np.random.SeedSequence(self.seed)
            self._key = seeds.counter_key(source)
        return self._key

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        """Drop values in training; pass x on otherwise."""
        if not training or self.rate == 0:
            return x
        if self.rate == 1:
            return x * 0.0
        step = vary(self._next_step)
        if self.noise_shape is None:
            return F.dropout(x, self.rate, training=True, key=self.key, step=step)
        noise = array_module(x.data).ones(self._mask_shape(x.shape), x.dtype)
        return x * F.dropout(noise, self.rate, training=True, key=self.key, step=step)

    def _next_step(self) -> int:
        self._step += 1
        return self._step - 1

    def _mask_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        wanted = self.noise_shape or ()
        if len(wanted) != len(shape) or any(n not in (None, 1, s) for n, s in zip(wanted, shape, strict=True)):
            raise ValueError(
                f"{self.describe()}: noise_shape {wanted} must hold, for each axis of x, its size, 1 or None, but x "
                f"has shape {shape}"
            )
        return tuple(s if n is None else n for n, s in zip(wanted, shape, strict=True))

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the same shape."""
        return input_shape

    def get_state(self) -> dict[str, int]:
        """Return the key of the masks and how many were drawn."""
        return {"key": self.key, "step": self._step}

    def set_state(self, state: dict[str, int]) -> None:
        """Put back what `get_state` gave."""
        self._key = int(state["key"])
        self._step = int(state["step"])

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {
            **super().get_config(),
            "rate": self.rate,
            "noise_shape": self.noise_shape,
            "seed": self.seed,
        }
