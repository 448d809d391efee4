"""The folder that `train` leaves behind: which files, and what `history.json` says."""

from __future__ import annotations

import datetime
import json
import os
import platform
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from . import machine

MODEL, CHECKPOINT, BEST = "model.minicnn", "checkpoint.minicnn", "best.minicnn"
HISTORY, PICTURE = "history.json", "history.png"
PACKAGES = ("minicnn", "numpy", "numba")


class Results:
    """The folder of one training.

    ``model.minicnn`` is the trained model, or where it was when Ctrl-C came; ``checkpoint.minicnn`` exists only while
    a training is unfinished and is the state after its last finished epoch, from which `--resume` goes on.
    ``best.minicnn`` is the model after the epoch of the highest validation accuracy, where that says nothing of the
    pictures that the result is measured on.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model = folder / MODEL
        self.checkpoint = folder / CHECKPOINT
        self.best = folder / BEST
        self.picture = folder / PICTURE
        self.history = folder / HISTORY

    def prepare(self) -> None:
        """Make the folder and find out before hours are spent that it can be written to; ValueError says if not."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=self.folder).close()
        except OSError as error:
            raise ValueError(f"the results cannot be written to {self.folder}: {error.strerror or error}") from None

    def start_afresh(self) -> None:
        """Remove what an earlier training left that a fresh one might take for its own."""
        self.forget_unfinished()
        self.best.unlink(missing_ok=True)

    def forget_unfinished(self) -> None:
        """Remove the state of a training that is finished."""
        self.checkpoint.unlink(missing_ok=True)

    def names(self) -> list[str]:
        """The names of the files that a finished training leaves."""
        best = [self.best] if self.best.exists() else []
        return [path.name for path in (self.model, *best, self.history, self.picture)]

    def write_history(self, record: dict[str, Any]) -> None:
        """Replace ``history.json``."""
        write_json(self.history, record)

    def read_history(self) -> dict[str, Any]:
        """What ``history.json`` says; ValueError if it is missing or damaged."""
        try:
            record = json.loads(self.history.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ValueError(f"there is no training to resume in {self.folder}: {HISTORY} is missing") from None
        except ValueError as error:
            raise ValueError(f"{self.history} is damaged: {error}") from None
        if not isinstance(record, dict) or not {"article", "settings", "epochs", "finished"} <= record.keys():
            raise ValueError(f"{self.history} is not the history of a training")
        # Older histories do not say it.
        record.setdefault("date", _day(self.history.stat().st_mtime))
        return record


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give a temporary name beside `target` that becomes `target` if all goes well and disappears otherwise.

    The bytes are on the disk before the name changes, so that after a power cut the name means the old file or the new.
    """
    temporary = target.with_name(f".{target.stem}-unfinished{target.suffix}")
    try:
        yield temporary
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Replace a file of JSON."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def today() -> str:
    """The date, such as "2026-01-31"."""
    return _day(time.time())


def _day(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).date().isoformat()


def columns(rows: list[dict[str, float]]) -> dict[str, list[float]]:
    """Rows of the same names as one list for each name."""
    return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}


def versions() -> dict[str, str]:
    """What the run was made with."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def computer() -> dict[str, Any]:
    """On what the run was made."""
    return {
        "processor": machine.processor_name(),
        "processors": machine.usable_processors(),
        "system": f"{platform.system()} {platform.machine()}",
    }
