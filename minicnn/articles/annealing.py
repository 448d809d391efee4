"""How the learning rate goes where the recipe is ours."""

from __future__ import annotations

from minicnn.optimizers import Adam
from minicnn.schedules import CosineDecay


def annealed(rate: float, steps: int) -> Adam:
    """Adam whose rate falls from `rate` to 0 along half a cosine, within so many steps (Loshchilov, Hutter, 2016)."""
    return Adam(learning_rate=CosineDecay(rate, steps))
