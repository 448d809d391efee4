"""Activation functions by name: plain functions of `minicnn.functional` on tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import minicnn.functional as F
from minicnn.layers.base import Layer
from minicnn.layers.base import registry as layers
from minicnn.registry import Registry

registry = Registry("activation")


@registry.register("identity")
def linear(x: Any) -> Any:
    """Return x itself."""
    return x


@registry.register()
def relu6(x: Any) -> Any:
    """min(max(x, 0), 6) (Krizhevsky 2010, Convolutional Deep Belief Networks on CIFAR-10)."""
    return F.clip(x, 0.0, 6.0)


@registry.register("swish")
def silu(x: Any) -> Any:
    """x sigmoid(x) (Ramachandran et al. 2017, Searching for Activation Functions)."""
    return x * F.sigmoid(x)


@registry.register()
def softsign(x: Any) -> Any:
    """x / (1 + |x|)."""
    return x / (F.abs(x) + 1.0)


@registry.register()
def hard_sigmoid(x: Any) -> Any:
    """min(max(x/6 + 1/2, 0), 1), as Keras 3 has it."""
    return F.clip(x / 6.0 + 0.5, 0.0, 1.0)


@registry.register()
def selu(x: Any) -> Any:
    """1.0507 elu(x, 1.6733) (Klambauer et al. 2017, Self-Normalizing Neural Networks)."""
    return F.elu(x, 1.6732632423543772) * 1.0507009873554805


@registry.register()
def leaky_relu(x: Any) -> Any:
    """x where x >= 0, else 0.2 x: the slope that Keras gives the name (the layer's is 0.3)."""
    return F.leaky_relu(x, 0.2)


@registry.register()
def gelu(x: Any) -> Any:
    """x Phi(x) with the exact normal distribution function (Hendrycks & Gimpel 2016)."""
    return F.gelu(x)


@registry.register()
def elu(x: Any) -> Any:
    """x where x > 0, else exp(x) - 1 (Clevert et al. 2016)."""
    return F.elu(x, 1.0)


registry.add(F.exp, "exponential")
for _function in (F.relu, F.sigmoid, F.tanh, F.softmax, F.log_softmax, F.softplus):
    registry.add(_function)


def get(identifier: Any) -> Callable[[Any], Any]:
    """An activation from its name, a function, a layer, or what `serialize` gave; None means linear."""
    if identifier is None:
        return linear
    if isinstance(identifier, dict):
        return layers.get(identifier)
    return registry.get(identifier)


def serialize(activation: Callable[[Any], Any]) -> Any:
    """What JSON can hold of an activation: its name, or a layer's class and configuration.

    Raises:
        ValueError: for a function that is not registered.
    """
    return layers.serialize(activation) if isinstance(activation, Layer) else registry.serialize(activation)
