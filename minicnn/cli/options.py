"""Options and exit codes that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from minicnn.errors import nearest_names

Command = TypeVar("Command", bound=Callable[..., Any])

# Exit codes: what is wrong with the call or its data, and Ctrl-C as shells have it.
FAILED, INTERRUPTED = 2, 130
DATASETS = ("mnist", "fashion-mnist", "drawn-digits", "dogs-vs-cats", "drawn-pets", "pictures")
KERNELS = ("cpu", "reference", "naive")
DEVICES = ("cuda", "cpu", "auto")


class Name(click.Choice):
    """One of several names; a wrong one suggests the nearest."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Give the name, or fail saying which ones there are."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            nearest = nearest_names(str(value), [str(name) for name in self.choices], count=1)
            if not nearest:
                raise
            self.fail(f"{error.message.rstrip('.')}; did you mean {nearest[0]!r}?", param, ctx)


def data_options(part: str) -> Callable[[Command], Command]:
    """Which pictures, --dataset, --data and --samples, of the "training" or the "test" part."""

    def decorate(command: Command) -> Command:
        command = click.option(
            "--samples", type=click.IntRange(min=1), metavar="N", help=f"Use only the first N {part} pictures."
        )(command)
        command = click.option(
            "--data", type=click.Path(path_type=Path), metavar="PATH", help="Folder or zip archive with the data."
        )(command)
        return click.option("--dataset", type=Name(DATASETS), help="Which pictures (default: the network's own).")(
            command
        )

    return decorate


def threads_option(command: Command) -> Command:
    """How many --threads to work with."""
    return click.option("--threads", type=click.IntRange(min=1), metavar="N", help="How many threads to use.")(command)


def machine_options(command: Command) -> Command:
    """How to compute: --threads, --kernels."""
    command = click.option("--kernels", type=Name(KERNELS), help="Which implementation of the kernels.")(command)
    return threads_option(command)


def device_option(command: Command) -> Command:
    """Where to compute: --device, given to the command as "cpu" or "cuda"."""

    def chosen(context: click.Context, option: click.Parameter, value: str | None) -> str:
        from minicnn import device

        return device.choose(value)

    return click.option(
        "--device", type=Name(DEVICES), callback=chosen,
        help="cuda, cpu, or auto: cuda where it can be used (default: $MINICNN_DEVICE, or cpu).",
    )(command)  # fmt: skip


def use_machine(threads: int | None, kernels: str | None) -> None:
    """Apply --threads and --kernels; the choice of kernels holds for the rest of the process."""
    import minicnn

    if kernels is not None:
        minicnn.use_kernels(kernels)
    if threads is not None:
        minicnn.set_num_threads(threads)
