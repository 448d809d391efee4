"""Callbacks that keep what happened: in memory and in files."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.autograd import as_array
from minicnn.device import to_host

from .base import Callback, Logs

if TYPE_CHECKING:
    from minicnn.layers import Layer


class History(Callback):
    """What `fit` returns: `history` maps each name to its value after every epoch, `epoch` lists the epochs.

    Some names do not have a value after every epoch, such as those of a validation with `validation_freq=2`:
    `epochs_of[name]` lists the epochs of the values of `history[name]`. Epochs count from 0.
    """

    def __init__(self) -> None:
        super().__init__()
        self.history: dict[str, list[Any]] = {}
        self.epoch: list[int] = []
        self.epochs_of: dict[str, list[int]] = {}

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Forget an earlier training's epochs."""
        self.history = {}
        self.epoch = []
        self.epochs_of = {}

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Append the epoch's means."""
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)
            self.epochs_of.setdefault(name, []).append(epoch)


class WeightHistory(Callback):
    """Keep a copy of a layer's weights before the training and after every epoch.

    `layer` is a layer or its name. `weights[t]` is `layer.get_weights()` after t epochs of this training (t = 0: before
    it), `epochs[t]` the epoch's number, `None` for t = 0. `values(i)` stacks the i-th weight into one array of shape
    (epochs + 1, *shape).
    """

    def __init__(self, layer: Layer | str) -> None:
        super().__init__()
        self.layer = layer
        self.weights: list[list[np.ndarray]] = []
        self.epochs: list[int | None] = []

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Keep the weights from before the training."""
        self.weights = []
        self.epochs = []
        self._keep(None)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Keep the weights after the epoch."""
        self._keep(epoch)

    def _keep(self, epoch: int | None) -> None:
        layer = self.model.get_layer(self.layer) if isinstance(self.layer, str) else self.layer
        # A layer that is not built yet has no weights to keep before the first epoch.
        if layer.built:
            self.weights.append([np.array(weight) for weight in layer.get_weights()])
            self.epochs.append(epoch)

    def values(self, index: int = 0) -> np.ndarray:
        """Return the weight at `index` over time, (epochs + 1, *shape)."""
        if not self.weights:
            raise ValueError("WeightHistory: no weights kept yet; give it to fit(callbacks=[...]) first")
        if not -len(self.weights[0]) <= index < len(self.weights[0]):
            raise ValueError(f"WeightHistory: the layer has {len(self.weights[0])} weights, there is none at {index}")
        return np.stack([weights[index] for weights in self.weights])


class CSVLogger(Callback):
    """Write one row per epoch to a CSV file: the epoch, counted from 0, and every mean; "NA" where there is none.

    A metric that gives an array is written as a list, "[0.9, 0.5]".
    With `append` an existing file is continued, without a second heading.
    """

    def __init__(self, filename: str | Path, separator: str = ",", append: bool = False) -> None:
        super().__init__()
        self.filename = Path(filename)
        self.separator = separator
        self.append = append
        self._file: io.TextIOWrapper | None = None
        self._writer: csv.DictWriter[str] | None = None
        self._continued = False

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Open the file."""
        self._continued = self.append and self.filename.exists() and self.filename.stat().st_size > 0
        self._file = self.filename.open("a" if self.append else "w", newline="", encoding="utf-8")
        self._writer = None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Write the epoch's row, so that it is in the file whatever happens next."""
        if self._file is None:
            raise RuntimeError("CSVLogger: on_epoch_end came without on_train_begin; the file is not open")
        row = {"epoch": epoch, **{name: _plain(value) for name, value in (logs or {}).items()}}
        if self._writer is None:
            self._writer = self._make_writer(self._file, row)
        self._writer.writerow(row)
        self._file.flush()

    def _make_writer(self, file: io.TextIOWrapper, row: Mapping[str, Any]) -> csv.DictWriter[str]:
        names = list(row)
        if self._continued:
            with self.filename.open(newline="", encoding="utf-8") as existing:
                names = next(csv.reader(existing, delimiter=self.separator))
        elif self.params.get("validation"):
            # With validation_freq above 1 the first row has no validation values, but later ones have.
            names += [f"val_{name}" for name in row if self._is_validated(name) and f"val_{name}" not in row]
        writer = csv.DictWriter(file, names, restval="NA", extrasaction="ignore", delimiter=self.separator)
        if not self._continued:
            writer.writeheader()
        return writer

    @staticmethod
    def _is_validated(name: str) -> bool:
        return name not in ("epoch", "learning_rate") and not name.startswith("val_")

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
        self._file = None
        self._writer = None


def _plain(value: Any) -> Any:
    # The own text of an array spans lines, and leaves out the middle of a long one.
    is_array = hasattr(value, "ndim") and not isinstance(value, np.generic)
    return to_host(as_array(value)).tolist() if is_array else value
