"""The gradient of a pooled block on its way back to the picture before pooling, a few rows at a time.

Only one cell of each window receives anything: the winner. So the picture before pooling is never stored in backward
either: the rows that a convolution's gradient works on next are filled from the pooled gradient where they are needed.
"""

from __future__ import annotations

import numpy as np

from .activations import activation_gradient
from .cache import inlined
from .pooling import Grid, inside
from .simd import clear_elements

NO_GRID = Grid(*[0] * len(Grid._fields))
NO_WINNERS = np.zeros(1, np.uint8)


@inlined
def gradient_line(gy, y, image, i, grid, kind, alpha, scratch, base):
    """scratch[base:] = row i of one picture's pooled gradient times the activation's derivative."""
    size = grid.output_columns * grid.channels
    start = (image * grid.output_rows + i) * size
    activation_gradient(gy[start : start + size], y[start : start + size], kind, alpha, scratch[base : base + size])


@inlined
def add_line(scratch, base, grid, totals, total_base):
    """totals[c] += the sum over j of the line (j, c) in scratch[base:]; summed on its own first, to round less."""
    C = grid.channels
    line = base + grid.output_columns * C
    sums, total = scratch[line : line + C], totals[total_base : total_base + C]
    for c in range(C):
        sums[c] = 0
    for j in range(grid.output_columns):
        values = scratch[base + j * C : base + (j + 1) * C]
        for c in range(C):
            sums[c] += values[c]
    for c in range(C):
        total[c] += sums[c]


@inlined
def scatter_band(
    gy, y, winners, grid, kind, alpha, image, images, row, rows, totals, total_base, summed, scratch, line, base
):
    """scratch[base:] = the rows row .. row+rows-1 of so many pictures before pooling: zero but for the winners.

    Where `summed`, totals[total_base:] gains the gradient of the bias: each pooled row is added by the band that holds
    its first cell. The scratch at `line` must hold a pooled row and the sum of one.
    """
    C, PH, PW = grid.channels, grid.window_rows, grid.window_columns
    for n in range(images):
        origin = base + n * rows * grid.width * C
        clear_elements(scratch, origin, rows * grid.width * C)
        first = max(0, (row + grid.top - PH) // grid.row_stride + 1)
        end = min(grid.output_rows, (row + rows - 1 + grid.top) // grid.row_stride + 1)
        for i in range(first, end):
            gradient_line(gy, y, image + n, i, grid, kind, alpha, scratch, line)
            start = i * grid.row_stride - grid.top
            if summed and row <= max(0, start) < row + rows:
                add_line(scratch, line, grid, totals, total_base)
            for j in range(grid.output_columns):
                source = (((image + n) * grid.output_rows + i) * grid.output_columns + j) * C
                winner = winners[source : source + C]
                gradient = scratch[line + j * C : line + (j + 1) * C]
                q_first, q_end = inside(j, grid.column_stride, grid.left, PW, grid.width)
                for p in range(max(0, row - start), min(PH, row + rows - start)):
                    for q in range(q_first, q_end):
                        target = origin + (
                            (start + p - row) * grid.width + j * grid.column_stride - grid.left + q
                        ) * C
                        cell = scratch[target : target + C]
                        index = p * PW + q
                        for c in range(C):
                            cell[c] += gradient[c] if winner[c] == index else 0
