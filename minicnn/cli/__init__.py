"""The command line, `minicnn` and `python -m minicnn`; each command is imported when it is called."""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from typing import Any

import click

import minicnn
from minicnn.errors import nearest_names

from .options import FAILED, INTERRUPTED

__all__ = ["cli", "main"]

# Command -> module and function. Loading only what is called keeps `minicnn --help` quick.
_COMMANDS = {
    "articles": ("listing", "articles"),
    "summary": ("listing", "summary"),
    "train": ("train", "train"),
    "evaluate": ("evaluate", "evaluate"),
    "predict": ("predict", "predict"),
    "explain": ("explain", "explain"),
    "study": ("study", "study"),
    "reproduce": ("reproduce", "reproduce"),
    "bench": ("bench", "bench"),
    "data": ("data", "data"),
    "doctor": ("doctor", "doctor"),
}


class CommandLine(click.Group):
    """A group whose commands are imported late and whose errors are one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, in the order in which a newcomer meets them."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module."""
        if cmd_name not in _COMMANDS:
            return None
        module, function = _COMMANDS[cmd_name]
        return getattr(importlib.import_module(f"{__name__}.{module}"), function)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; an unknown one suggests the nearest."""
        if args and not args[0].startswith("-") and args[0] not in _COMMANDS:
            nearest = nearest_names(args[0], _COMMANDS, count=1)
            hint = f"did you mean {nearest[0]!r}?" if nearest else f"there are: {', '.join(_COMMANDS)}"
            raise click.UsageError(f"no command {args[0]!r}; {hint}")
        return super().resolve_command(ctx, args)

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run a command and exit: 0, or 2 after one line that says what is wrong, or 130 after Ctrl-C."""
        extra |= {"standalone_mode": False, "prog_name": "minicnn"}
        try:
            status = super().main(*args, **extra)
        except (click.Abort, KeyboardInterrupt):
            click.echo("minicnn: stopped", err=True)
            sys.exit(INTERRUPTED)
        except Exception as error:
            if os.environ.get("MINICNN_DEBUG", "0") not in ("", "0"):
                raise
            click.echo(f"minicnn: {_one_line(error)}", err=True)
            sys.exit(FAILED)
        sys.exit(status if isinstance(status, int) else 0)


def _one_line(error: Exception) -> str:
    if isinstance(error, click.NoSuchOption):
        text = _no_such_option(error)
    elif isinstance(error, click.ClickException):
        text = error.format_message()
    elif isinstance(error, MemoryError):
        text = f"out of memory ({error})" if str(error) else "out of memory"
    elif isinstance(error, (ValueError, TypeError, OSError, ImportError, RuntimeError)):
        text = str(error) or type(error).__name__
    else:
        text = f"{type(error).__name__}: {error} (MINICNN_DEBUG=1 shows where)"
    return " ".join(text.split())


def _no_such_option(error: click.NoSuchOption) -> str:
    """Suggest an option only where its name is near; Click counts the hyphens, and finds --help near --lr."""
    called = "minicnn" if error.ctx is None else error.ctx.command_path
    parameters = [] if error.ctx is None else error.ctx.command.get_params(error.ctx)
    options = [name for parameter in parameters for name in (*parameter.opts, *parameter.secondary_opts)]
    nearest = nearest_names(error.option_name, [name for name in options if name.startswith("--")], count=1)
    hint = f"did you mean {nearest[0]}?" if nearest else f"{called} --help lists those there are"
    return f"{called} has no option {error.option_name}; {hint}"


@click.group(cls=CommandLine, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(minicnn.__version__, prog_name="minicnn")
@click.pass_context
def cli(context: click.Context) -> None:
    """Convolutional networks from scratch: train, look at and use the articles' networks."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    click.echo(f"minicnn: note: {message}", err=True)


def main() -> None:
    """What the installed command calls."""
    warnings.showwarning = _show_warning
    cli()
