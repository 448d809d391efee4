"""Starting the command line in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
# The smallest network on few pictures: about a second a training.
QUICK = ["train", "lenet5", "--dataset", "drawn-digits", "--samples", "256", "--batch-size", "32", "--epochs", "2"]


def _heed_ctrl_c() -> None:
    """Undo what a shell does to commands in the background, such as the whole test run: Ctrl-C switched off."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(*words: object, folder: Path, **environment: str) -> subprocess.Popen[str]:
    """Start `python -m minicnn` in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "minicnn", *map(str, words)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        preexec_fn=None if sys.platform == "win32" else _heed_ctrl_c,
    )
