"""Small fixed kernels on a picture, side by side: what a convolution does before anything is learned."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.data.pictures.filters import PRESETS, filter_picture

from .style import INK, show, tiles, write

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def filtered(
    picture: Any,
    names: Sequence[str] = tuple(PRESETS),
    *,
    columns: int = 4,
    title: str = "",
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Draw a picture and what filters make of it.

    Args:
        picture: (H, W) or (H, W, 3), 0..255 or 0..1; colours are made grey first.
        names: of `minicnn.data.pictures.filters.PRESETS`, or "sobel".
        columns, title, path: as for `samples`.

    Raises:
        ValueError: another shape, or an unknown name, which suggests the nearest.
    """
    results = [filter_picture(picture, name) for name in names]
    figure, panels = tiles(1 + len(results), columns, 2.0, title)
    for panel, name, pixels in zip(panels, ("picture", *names), (np.asarray(picture), *results), strict=True):
        show(panel, pixels)
        panel.set_title(name, fontsize=9, color=INK)
    return write(figure, path)
