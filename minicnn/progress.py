"""What `fit`, `evaluate` and `predict` print while they run.

`verbose=1` draws one live line per epoch, rewritten in place where the output can do that (a terminal, a notebook) and
printed once, finished, where it cannot (a file, a pipe), so that logs are not flooded. `verbose=2` prints one line per
epoch everywhere. `verbose=0` prints nothing.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from minicnn.autograd import as_array
from minicnn.device import to_host

REFRESH_SECONDS = 0.1
BAR_CELLS = 20
# Of a longer list, or a table, the line shows the shape alone.
_SHOWN_VALUES = 8
_FALLBACK_COLUMNS = 100


def in_notebook() -> bool:
    """Say whether the output goes to a Jupyter kernel, which understands a carriage return though it is no terminal."""
    ipython = sys.modules.get("IPython")
    if ipython is None:
        return False
    shell = ipython.get_ipython()
    return shell is not None and "IPKernelApp" in shell.config


def can_rewrite_line() -> bool:
    """Say whether a carriage return lets the next text replace the last line of standard output."""
    stream = sys.stdout
    return (stream is not None and stream.isatty()) or in_notebook()


def resolve_verbosity(verbose: int | str | bool) -> int:
    """Return 0, 1 or 2 for `verbose`, where "auto" means 1; raise ValueError for anything else."""
    if verbose == "auto":
        return 1
    if verbose in (0, 1, 2):
        return int(verbose)
    raise ValueError(f'verbose must be 0, 1, 2 or "auto", got {verbose!r}')


def format_duration(seconds: float) -> str:
    """Return a duration in the unit a reader wants: "12ms", "3.4s", "2:05", "1:02:03"."""
    if seconds < 1:
        return f"{1000 * seconds:.0f}ms"
    if seconds < 10:
        return f"{seconds:.1f}s"
    if seconds < 60:
        return f"{seconds:.0f}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def format_value(value: Any) -> str:
    """Return a number with four digits after the point, or in scientific notation where that would show none.

    Of an array or tensor with axes: up to eight numbers in a row, "[0.9000 0.5000]", else the shape, "10x10 array".
    """
    if not isinstance(value, (int, float)):
        array = to_host(as_array(value))
        if array.ndim:
            return _format_array(array)
        value = array.item()
    magnitude = abs(value)
    return f"{value:.4e}" if 0 < magnitude < 1e-3 or magnitude >= 1e6 else f"{value:.4f}"


def _format_array(array: np.ndarray) -> str:
    if array.ndim > 1 or array.size > _SHOWN_VALUES:
        return f"{'x'.join(map(str, array.shape))} array"
    return f"[{' '.join(map(format_value, array.tolist()))}]"


def format_logs(logs: Mapping[str, Any]) -> str:
    """Return "loss: 0.1234 - accuracy: 0.9876", the loss first, training before validation."""
    names = sorted(logs, key=lambda name: (name.startswith("val_"), name.removeprefix("val_") != "loss"))
    return " - ".join(f"{name}: {format_value(logs[name])}" for name in names)


class ProgressLine:
    """One line of progress over `total` steps (None: not known beforehand).

    `update(step, logs)` redraws it at most every `REFRESH_SECONDS`; `finish(step, logs)` draws it for good and ends it.
    """

    def __init__(self, total: int | None, *, prefix: str = "", live: bool | None = None) -> None:
        self.total = total
        self.prefix = prefix
        self.live = can_rewrite_line() if live is None else live
        self.started = time.perf_counter()
        self._drawn_at = -REFRESH_SECONDS
        self._drawn_width = 0

    def due(self) -> bool:
        """Say whether the line is live and its last drawing is old enough for a new one."""
        return self.live and time.perf_counter() - self.started - self._drawn_at >= REFRESH_SECONDS

    def update(self, step: int, logs: Mapping[str, float]) -> None:
        """Redraw the line after `step` finished steps, if a redraw is due."""
        if self.due():
            self._drawn_at = time.perf_counter() - self.started
            self._draw(self._text(step, logs, finished=False))

    def finish(self, step: int, logs: Mapping[str, float]) -> None:
        """Draw the line a last time, with the time it all took, and move to the next line."""
        text = self._text(step, logs, finished=True)
        if self.live:
            self._draw(text)
            _write("\n")
        else:
            _write(text + "\n")

    def close(self) -> None:
        """Leave the line as it stands, after an interruption, so that what follows starts on a line of its own."""
        if self.live and self._drawn_width:
            _write("\n")

    def _text(self, step: int, logs: Mapping[str, float], *, finished: bool) -> str:
        elapsed = time.perf_counter() - self.started
        per_step = elapsed / max(step, 1)
        parts = [self.prefix] if self.prefix else []
        if self.total is None:
            parts.append(f"{step} steps")
        else:
            width = len(str(self.total))
            parts.append(f"{step:{width}d}/{self.total} [{_bar(step, self.total)}]")
        if finished or self.total is None:
            parts.append(format_duration(elapsed))
        else:
            parts.append(f"{format_duration(per_step * (self.total - step))} left")
        parts.append(f"{format_duration(per_step)}/step")
        line = " ".join(parts)
        return f"{line} - {format_logs(logs)}" if logs else line

    def _draw(self, text: str) -> None:
        columns = shutil.get_terminal_size((_FALLBACK_COLUMNS, 24)).columns if not in_notebook() else 10_000
        text = text[: max(columns - 1, 20)]
        # Spaces wipe what a longer previous line left behind.
        _write("\r" + text + " " * (self._drawn_width - len(text)))
        self._drawn_width = len(text)


def _bar(step: int, total: int) -> str:
    filled = BAR_CELLS * min(step, total) // max(total, 1)
    return "=" * filled + "." * (BAR_CELLS - filled)


def _write(text: str) -> None:
    # Looked up at every write: notebooks and tests replace sys.stdout while a program runs.
    if sys.stdout is not None:
        sys.stdout.write(text)
        sys.stdout.flush()
