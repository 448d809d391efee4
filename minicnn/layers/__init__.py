"""What a network is made of, under Keras' names, arguments, defaults and meaning."""

from __future__ import annotations

from minicnn.layers.base import Layer, registry, reset_names
from minicnn.layers.inputs import Input, InputLayer
from minicnn.layers.symbolic import Node, SymbolicTensor

__all__ = ["Input", "InputLayer", "Layer", "Node", "SymbolicTensor", "registry", "reset_names"]
