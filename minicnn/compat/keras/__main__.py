"""`python -m minicnn.compat.keras script.py [args]`."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import click

from . import PUBLISHED, OldName, install, uninstall
from .scripts import ScriptError, run
from .versions import VERSIONS


def _one_line(message: Any, category: type[Warning], filename: str, lineno: int, line: str | None = None) -> str:
    return f"{Path(filename).name}:{lineno}: {message}\n"


_PUBLISHED = "Besbes' published code needs correcting before any Keras runs it:\n\n" + "\n\n".join(PUBLISHED)


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False}, epilog=_PUBLISHED)
@click.option(
    "--keras-version",
    type=click.Choice(VERSIONS),
    default="3",
    show_default=True,
    help="Whose rules hold for patience, shear, interpolation and freezing.",
)
@click.argument("script", type=click.Path(path_type=Path))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def main(keras_version: str, script: Path, arguments: tuple[str, ...]) -> None:
    """Run SCRIPT, a .py or .ipynb file written for Keras, with minicnn in Keras' place."""
    if not script.is_file():
        raise click.ClickException(f"there is no file {script}")
    install(keras_version)
    with warnings.catch_warnings():
        warnings.simplefilter("default", OldName)
        plain = warnings.formatwarning
        warnings.formatwarning = lambda message, category, *rest: (
            _one_line(message, category, *rest) if issubclass(category, OldName) else plain(message, category, *rest)
        )
        try:
            run(script, list(arguments))
        except ScriptError as error:
            raise click.ClickException(str(error)) from error
        finally:
            warnings.formatwarning = plain
            uninstall()


if __name__ == "__main__":
    sys.exit(main(prog_name="python -m minicnn.compat.keras"))
