"""`keras_tqdm`: nested progress bars, an outer one of epochs and an inner one of steps."""

from __future__ import annotations

from typing import Any

from tqdm.auto import tqdm as automatic
from tqdm.std import tqdm

from minicnn.callbacks import Callback
from minicnn.errors import unknown_name
from minicnn.progress import format_logs

_ARGUMENTS = ("leave_inner", "leave_outer", "show_inner", "show_outer", "output_file")
_LOOKS = {
    "outer_description", "inner_description_initial", "inner_description_update", "metric_format", "separator",
    "initial",
}  # fmt: skip


class TQDMCallback(Callback):
    """A bar over the epochs and one over each epoch's steps.

    Args:
        leave_inner: keep each epoch's bar on the screen.
        leave_outer: keep the epochs' bar.
        show_inner, show_outer: draw that bar at all.
        output_file: where text bars go; standard error where None.
        looks: keras_tqdm's other arguments, which change words that are not written here.

    Raises:
        TypeError: an argument that keras_tqdm does not have.
    """

    bar: Any = tqdm

    reads_only_logs = True

    def __init__(
        self,
        leave_inner: bool = True,
        leave_outer: bool = True,
        show_inner: bool = True,
        show_outer: bool = True,
        output_file: Any = None,
        **looks: Any,
    ) -> None:
        super().__init__()
        for name in looks.keys() - _LOOKS:
            raise TypeError(f"{type(self).__name__}: {unknown_name('argument', name, [*_ARGUMENTS, *_LOOKS])}")
        self.leave_inner, self.leave_outer = leave_inner, leave_outer
        self.show_inner, self.show_outer = show_inner, show_outer
        self.output_file = output_file
        self._outer: Any = None
        self._inner: Any = None

    def on_train_begin(self, logs: Any = None) -> None:
        """Draw the epochs' bar."""
        if self.show_outer:
            self._outer = self.bar(
                total=self.params.get("epochs"), desc="Training", leave=self.leave_outer, file=self.output_file
            )

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Draw the bar of this epoch's steps."""
        if self.show_inner:
            self._inner = self.bar(
                total=self.params.get("steps"), desc=f"Epoch {epoch}", leave=self.leave_inner, file=self.output_file
            )

    def wants_batch(self, hook: str) -> bool:
        """Count the step without computing means for it."""
        if hook == "on_train_batch_end" and self._inner is not None:
            self._inner.update(1)
        return False

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Counted in `wants_batch`."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Write the epoch's means behind its bar, and count it."""
        if self._inner is not None:
            # Old and new name of the accuracy are both in the logs; one is enough to look at.
            shown = {name: value for name, value in (logs or {}).items() if name.removeprefix("val_") != "acc"}
            self._inner.set_postfix_str(format_logs(shown))
            self._inner.close()
            self._inner = None
        if self._outer is not None:
            self._outer.update(1)

    def on_train_end(self, logs: Any = None) -> None:
        """Leave no bar open, whatever ended the training."""
        for bar in (self._inner, self._outer):
            if bar is not None:
                bar.close()
        self._inner = self._outer = None


class TQDMNotebookCallback(TQDMCallback):
    """The same with a notebook's widgets, where there are any."""

    reads_only_logs = True

    bar = automatic
