"""A convolution engine written from scratch on NumPy and CuPy, with its own autograd."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

__version__ = "0.1.0"


def _check_installation() -> None:
    """Raise ImportError that says how to install, where this is a checkout that nobody has installed."""
    try:
        importlib.import_module("numpy")
        if importlib.util.find_spec(f"{__name__}.kernels") is None:
            # Git for Windows may write the link to kernels/ as a plain file.
            raise ModuleNotFoundError("no minicnn.kernels here")
    except ModuleNotFoundError as error:
        raise ImportError(
            f"minicnn is not installed ({error}): in the folder that holds its setup.py, run: python -m pip install .",
            name=__name__,
        ) from None


_check_installation()

# Public name -> module that defines it. Resolved at first use, so that importing minicnn stays cheap.
_NAMES = {
    "Tensor": "autograd",
    "Function": "autograd",
    "grad": "autograd",
    "no_grad": "autograd",
    "enable_grad": "autograd",
    "gradcheck": "autograd",
    "from_dlpack": "autograd",
    "set_seed": "random",
    "use_kernels": "kernels",
    "use_tf32": "kernels",
    "set_num_threads": "kernels",
    "get_num_threads": "kernels",
    "Sequential": "models",
    "Model": "models",
    "Input": "layers",
    "load_model": "saving",
}
_MODULES = (
    "applications", "articles", "autograd", "callbacks", "constraints", "data", "datasets", "explain", "functional",
    "initializers", "kernels", "layers", "losses", "metrics", "mixed_precision", "models", "optimizers", "plots",
    "preprocessing", "regularizers", "saving", "schedules", "utils",
)  # fmt: skip

__all__ = sorted([*_NAMES, *_MODULES])


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        value = getattr(importlib.import_module(f"{__name__}.{_NAMES[name]}"), name)
        globals()[name] = value
        return value
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    from minicnn.errors import nearest_names

    nearest = nearest_names(name, __all__, count=1)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
    raise AttributeError(f"module 'minicnn' has no attribute {name!r}{hint}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
