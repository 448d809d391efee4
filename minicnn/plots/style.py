"""What all pictures share: colours, a figure without a window, tiles for many small pictures."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TRAINING, VALIDATION, TEST, REPORTED, INK, GRID = "#2b6cb0", "#dd6b20", "#2f855a", "#718096", "#1a202c", "#e2e8f0"
WRONG = "#c53030"
# Zero in the middle, for kernels and differences; from dark to bright, for maps.
SIGNED, MAPS = "RdBu_r", "viridis"


def new_figure(width: float, height: float, title: str = "") -> Figure:
    """An empty figure of so many inches, made without pyplot: no window, no global state, usable from any thread."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    if title:
        figure.suptitle(title, color=INK, fontsize=12, fontweight="bold")
    return figure


def write(figure: Figure, path: str | os.PathLike[str] | None) -> Figure:
    """Save the figure where asked; the ending decides the format."""
    if path is not None:
        figure.savefig(path)
    return figure


def dress(panel: Axes) -> None:
    """A light grid behind the curves, and no box around them."""
    panel.grid(color=GRID, linewidth=0.8)
    panel.set_axisbelow(True)
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)


def tiles(count: int, columns: int, side: float, title: str = "") -> tuple[Figure, list[Axes]]:
    """A figure with panels for `count` small pictures of `side` inches, `columns` in a row, without axes."""
    columns = max(1, min(columns, count))
    rows = math.ceil(count / columns)
    figure = new_figure(columns * side, rows * side + (0.4 if title else 0), title)
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for panel in panels:
        panel.set_axis_off()
    return figure, panels[:count]


def show(panel: Axes, picture: Any, **options: Any) -> None:
    """Draw a picture (H, W), (H, W, 1) or (H, W, 3); grey ones in grey, numbers as 0..255 or 0..1."""
    pixels = np.asarray(picture)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    if pixels.ndim == 2:
        panel.imshow(pixels, interpolation="nearest", **({"cmap": "gray"} | options))
        return
    if np.issubdtype(pixels.dtype, np.floating):
        pixels = np.clip(pixels / 255 if pixels.max(initial=0) > 1 else pixels, 0, 1)
    panel.imshow(pixels, interpolation="nearest", **options)


def check_pictures(pictures: Any, operation: str) -> np.ndarray:
    """The pictures as an array (N, H, W), (N, H, W, 1) or (N, H, W, 3).

    Raises:
        ValueError: it is another shape, or there is no picture.
    """
    array = np.asarray(pictures)
    if array.ndim not in (3, 4) or (array.ndim == 4 and array.shape[3] not in (1, 3)) or len(array) == 0:
        raise ValueError(
            f"{operation}: expected pictures (N, H, W), (N, H, W, 1) or (N, H, W, 3) with N at least 1, "
            f"got shape {array.shape}"
        )
    return array
