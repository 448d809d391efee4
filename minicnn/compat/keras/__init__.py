"""Keras scripts, run by minicnn: `keras`, `tensorflow.keras` and what stands beside them, answered here.

From the command line, for a script or a notebook that stays as it is::

    python -m minicnn.compat.keras script.py its arguments
    python -m minicnn.compat.keras --keras-version 2.0.8 notebook.ipynb

or at the top of a notebook::

    import minicnn.compat.keras
    minicnn.compat.keras.install()

Old names and arguments, back to Keras 1, are understood and noted once each. What is not there fails with its name and
the nearest thing that is.

Some code was published broken, and no Keras runs it: Besbes' article on cats and dogs stops at ``np.Float32``, at a
``fitted_model`` that nothing makes, at ``leave_inners=`` and ``leave_outers=``, and where ``./data/``, ``./models/`` or
``./features/`` are not there. `PUBLISHED` lists what to write instead, and so does the command's ``--help``.
"""

from __future__ import annotations

import atexit
import importlib.util
from contextlib import ExitStack

from .notes import OldName
from .published import lines as _published
from .versions import VERSIONS

__all__ = ["PUBLISHED", "VERSIONS", "OldName", "install", "installed", "uninstall"]

PUBLISHED = tuple(_published())
"""What code that an article printed needs corrected before any Keras can run it, a line each."""

_installation: ExitStack | None = None


def installed() -> bool:
    """Whether `import keras` is answered by minicnn now."""
    return _installation is not None


def install(version: str = "3") -> None:
    """Answer `import keras` and `import tensorflow` from now on, whether or not they are installed.

    Modules of theirs that were imported before keep working where they are held, and are what is imported again after
    `uninstall`. A second call changes the version.

    Args:
        version: whose rules hold where versions differ: "2.0.8", "2.3" or "3"; see `versions`.

    Raises:
        ValueError: another version.
    """
    from . import backend, notes
    from .finder import Finder, answering
    from .namespace import table
    from .training import old_methods
    from .versions import rules_of

    global _installation
    rules = rules_of(version)
    uninstall()
    finder = Finder(table(rules))
    with ExitStack() as stack:
        stack.enter_context(answering(finder))
        stack.enter_context(old_methods(rules))
        stack.callback(backend.set_image_data_format, "channels_last")
        stack.enter_context(_plain_bars())
        notes.forget()
        _installation = stack.pop_all()


def uninstall() -> None:
    """Leave `import keras` to whoever else answers it; nothing happens where `install` was not called."""
    global _installation
    if _installation is not None:
        installation, _installation = _installation, None
        installation.close()


# What generators hold would be closed when modules are gone already, with a message for each.
atexit.register(uninstall)


def _plain_bars() -> ExitStack:
    """Let `tqdm.tqdm_notebook` draw a bar of text where the notebook's widgets are missing."""
    stack = ExitStack()
    if importlib.util.find_spec("ipywidgets") is None:
        import tqdm

        stack.callback(setattr, tqdm, "tqdm_notebook", tqdm.tqdm_notebook)
        tqdm.tqdm_notebook = tqdm.tqdm
    return stack
