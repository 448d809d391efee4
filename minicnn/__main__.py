"""`python -m minicnn`: the command line."""

from __future__ import annotations

import sys


def _main() -> None:
    try:
        from minicnn.cli import main
    except ModuleNotFoundError as error:
        # The package itself sees to NumPy; here it is a package that only the command line needs.
        sys.exit(
            f"minicnn is not installed ({error}): in the folder that holds its setup.py, run: python -m pip install ."
        )
    except KeyboardInterrupt:
        sys.exit(130)
    main()


if __name__ == "__main__":
    _main()
