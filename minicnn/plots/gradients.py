"""How much of the gradient reaches each layer."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

import minicnn
from minicnn.device import native, place
from minicnn.training.outputs import loss_of

from .style import INK, TRAINING, dress, new_figure, write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minicnn.models import Model


def gradient_norm_by_layer(model: Model, x: Any, y: Any, loss: Any = None) -> dict[str, float]:
    """The length of the loss' gradient by each layer's kernel, in the order of the layers.

    Args:
        model: built; its weights stay as they are.
        x: a batch as the model takes it. y: its targets as the loss takes them.
        loss: name or function; None takes the one that the model was compiled with.

    Returns:
        The Euclidean norm by layer name, layers without weights left out.

    Raises:
        ValueError: there is no loss.
    """
    if loss is None and not model.compiled:
        raise ValueError("gradient_norm_by_layer: the model is not compiled, so loss must be given")
    owners = [layer for layer in model.layers if layer.trainable_weights]
    inputs, targets = (place(part, model.device) for part in (native(x, np.float32), native(y)))
    output = model(minicnn.Tensor(inputs), training=True)
    value = loss_of(model, loss, targets.shape, output.shape)(targets, output)
    weights = [layer.trainable_weights[0] for layer in owners]
    gradients = minicnn.grad(value, weights)
    return {layer.name: float(np.linalg.norm(g.numpy())) for layer, g in zip(owners, gradients, strict=True)}


def gradient_norms(
    norms: dict[str, dict[str, float]], *, title: str = "", path: str | os.PathLike[str] | None = None
) -> Figure:
    """Draw gradient norms by layer, one curve for each network, on a logarithmic scale.

    Args:
        norms: by the name of the network, what `gradient_norm_by_layer` gave.
        title, path: as in the other pictures.

    Raises:
        ValueError: there is nothing to draw.
    """
    if not norms or not all(norms.values()):
        raise ValueError("plots.gradient_norms: expected at least one network with at least one layer, got none")
    longest = max(norms.values(), key=len)
    figure = new_figure(max(4.5, 0.7 * len(longest)), 3.4, title)
    panel = figure.subplots()
    for number, (name, values) in enumerate(norms.items()):
        color = TRAINING if number == 0 else f"C{number}"
        panel.plot(range(len(values)), list(values.values()), marker="o", markersize=4, color=color, label=name)
    panel.set_yscale("log")
    panel.set_xticks(range(len(longest)), list(longest), rotation=45, ha="right", fontsize=8)
    panel.set_ylabel("norm of the gradient", color=INK)
    dress(panel)
    panel.legend(frameon=False, fontsize=9, labelcolor=INK)
    return write(figure, path)
