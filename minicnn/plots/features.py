"""What a network has learned: its kernels, the maps they give, and the patches that please them most."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from .receptive_field import receptive_field
from .style import INK, MAPS, SIGNED, TRAINING, check_pictures, new_figure, show, tiles, write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minicnn.layers import Layer
    from minicnn.models import Model


def filters(layer: Any, *, columns: int = 8, title: str = "", path: str | os.PathLike[str] | None = None) -> Figure:
    """Draw the kernels of a convolution; red is positive, blue negative, white zero, on one scale for all.

    Kernels over 3 channels are drawn in colour, each stretched to 0..1; of other numbers of channels, the mean. One
    picture for each map that the layer gives: of a `DepthwiseConv2D`, whose kernels see one channel, C M of them.

    Args:
        layer: a convolution, or the kernel (KH, KW, C, F) of one.
        columns: kernels in a row. title, path: as in the other pictures.

    Raises:
        ValueError: it has no such kernel.
    """
    kernel = np.asarray(layer if isinstance(layer, np.ndarray) else _kernel(layer))
    if kernel.ndim != 4:
        raise ValueError(f"plots.filters: expected a kernel (KH, KW, C, F), got shape {kernel.shape}")
    KH, KW, C, F = kernel.shape
    figure, panels = tiles(F, columns, 1.0, title)
    limit = float(np.abs(kernel).max()) or 1.0
    for number, panel in enumerate(panels):
        taps = kernel[..., number]
        if C == 3:
            spread = float(np.ptp(taps)) or 1.0
            show(panel, (taps - taps.min()) / spread)
        else:
            show(panel, taps.mean(axis=2), cmap=SIGNED, vmin=-limit, vmax=limit)
        panel.set_title(str(number), fontsize=7, color=INK)
    return write(figure, path)


def _kernel(layer: Any) -> np.ndarray:
    """The kernel of a layer as (KH, KW, C, F), with a kernel for each map that comes out."""
    from minicnn.layers import Conv2DTranspose, DepthwiseConv2D

    kernel = getattr(layer, "kernel", None)
    if kernel is None:
        raise ValueError(f"plots.filters: {getattr(layer, 'name', layer)!r} has no kernel")
    array = kernel.numpy()
    if isinstance(layer, DepthwiseConv2D):
        KH, KW, C, M = array.shape
        return array.reshape(KH, KW, 1, C * M)
    return array.swapaxes(2, 3) if isinstance(layer, Conv2DTranspose) else array


def activation_maps(model: Model, picture: Any, layer: Layer | str) -> np.ndarray:
    """What a layer makes of one picture: (H, W, C) maps, or (units,) of a layer without rows and columns.

    Args:
        model: Sequential or functional.
        picture: one picture as the model takes it, without or with a batch axis of 1.
        layer: of the model, or its name.
    """
    from minicnn.models import Model

    chosen = model.get_layer(layer) if isinstance(layer, str) else layer
    x = np.asarray(picture)
    x = x if x.ndim == len(model.input_shape) else x[None]
    values = Model(inputs=model.input, outputs=chosen.output).predict(x, verbose=0)[0]
    return values.transpose(1, 2, 0) if _channels_first(chosen) and values.ndim == 3 else values


def _channels_first(layer: Layer) -> bool:
    return getattr(layer, "data_format", None) == "channels_first"


def dead_maps(maps: np.ndarray) -> list[int]:
    """The numbers of the maps (H, W, C) that are zero everywhere.

    >>> dead_maps(np.dstack([np.zeros((2, 2)), np.eye(2)]))
    [0]
    """
    return np.flatnonzero(~np.any(maps, axis=tuple(range(maps.ndim - 1)))).tolist()


def activations(
    model: Model,
    picture: Any,
    layer: Layer | str,
    *,
    columns: int = 5,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Draw every map that a layer makes of one picture; the title counts those that are zero everywhere.

    A layer without rows and columns is drawn as bars, one for each unit.

    Args:
        model, picture, layer: as for `activation_maps`.
        columns: maps in a row. path: where to write the picture, if anywhere.
    """
    chosen = model.get_layer(layer) if isinstance(layer, str) else layer
    maps = activation_maps(model, picture, chosen)
    if maps.ndim == 1:
        figure = new_figure(6, 2.4, f"{chosen.name}: {len(maps)} values")
        figure.subplots().bar(range(len(maps)), maps, width=1 if len(maps) > 60 else 0.8, color=TRAINING)
        return write(figure, path)
    dead = dead_maps(maps)
    figure, panels = tiles(maps.shape[2], columns, 1.3, f"{chosen.name}: {len(dead)} of {maps.shape[2]} maps are zero")
    for number, panel in enumerate(panels):
        show(panel, maps[..., number], cmap=MAPS)
        panel.set_title(f"{number}, zero" if number in dead else str(number), fontsize=7, color=INK)
    return write(figure, path)


def exciting_patches(
    model: Model,
    layer: Layer | str,
    pictures: Any,
    *,
    maps: int = 8,
    count: int = 6,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Draw, for each map of a layer, the patches of pictures where it answers most, at most one from each picture.

    A patch is what the answering cell sees: its receptive field. (Zeiler & Fergus 2014, Visualizing and understanding
    convolutional networks, section 4, show such patches beside theirs.)

    Args:
        model: Sequential, of convolutions and pooling up to the layer.
        layer: of the model, or its name.
        pictures: (N, H, W, C) as the model takes them.
        maps: the first so many maps of the layer; one row each. count: patches in a row.
        path: where to write the picture, if anywhere.

    Raises:
        ValueError: the layer has no maps, or a layer before it mixes all pixels.
    """
    from minicnn.models import Model

    pixels = check_pictures(pictures, "plots.exciting_patches")
    chosen = model.get_layer(layer) if isinstance(layer, str) else layer
    field = receptive_field(model, chosen)
    values = Model(inputs=model.input, outputs=chosen.output).predict(pixels, verbose=0)
    N, _, W, C = values.shape
    maps, count = min(maps, C), min(count, N)
    figure, panels = tiles(maps * count, count, 1.0, f"{chosen.name}: what each map answers to most")
    for number in range(maps):
        answers = values[..., number].reshape(N, -1)
        for place, n in enumerate(np.argsort(-answers.max(axis=1), kind="stable")[:count]):
            row, column = divmod(int(answers[n].argmax()), W)
            panel = panels[number * count + place]
            show(panel, field.cut(pixels[n], row, column))
            panel.set_title(f"{number}: {answers[n].max():.2g}", fontsize=6, color=INK)
    return write(figure, path)
