"""Where downloaded files are kept."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from minicnn.data.errors import DataError


def cache_folder() -> Path:
    """Where downloaded data is kept: ``$MINICNN_CACHE``, else the platform's folder for such things.

    Raises:
        DataError: nothing says where the user's home is.
    """
    if named := os.environ.get("MINICNN_CACHE"):
        return Path(named)
    try:
        if sys.platform == "win32":
            return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "minicnn"
        if sys.platform == "darwin":
            return Path.home() / "Library" / "Caches" / "minicnn"
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "minicnn"
    except RuntimeError:
        raise DataError(
            "no home folder is known; name a cache folder in the environment variable MINICNN_CACHE"
        ) from None
