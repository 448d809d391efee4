"""`python -m minicnn`: the command line."""

from __future__ import annotations

import sys


def _main() -> None:
    try:
        from minicnn.cli import main
    except ModuleNotFoundError as error:
        sys.exit(
            f"minicnn: {error}: minicnn is not installed here. In the folder that holds its setup.py, "
            "run: python -m pip install ."
        )
    main()


if __name__ == "__main__":
    _main()
