"""`minicnn evaluate`: a saved model's loss and metrics on a data set's test pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import data_options, device_option, machine_options, use_machine

if TYPE_CHECKING:
    from minicnn.models import Model


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@data_options("test")
@machine_options
@device_option
def evaluate(
    file: Path, dataset: str | None, data: Path | None, samples: int | None, threads: int | None,
    kernels: str | None, device: str,
) -> None:  # fmt: skip
    """Measure the model in FILE on test pictures.

    They are by default those of the data set that it was trained on.
    """
    from . import pictures
    from .listing import saved

    use_machine(threads, kernels)
    model = saved(file).to(device)
    if not model.compiled:
        raise ValueError(f"{file} holds a model that was never compiled, so it has no loss to measure")
    used = model.preprocessing or {}
    name = dataset or used.get("dataset")
    if name is None:
        raise ValueError(f"{file} does not say which data set it was trained on: name one with --dataset")
    loaded = pictures.load(name, data)
    pictures.check_samples(samples, len(loaded.x_test), "test")
    x_test, y_test = loaded.x_test[:samples], loaded.y_test[:samples]
    x = pictures.preparation(model)(x_test)
    classes = int(model.output_shape[-1])
    click.echo(f"Data: {loaded.where} ({len(x):,} test pictures)")
    for measure, value in model.evaluate(
        x, pictures.as_labels(y_test, label_form(model), classes), verbose=0, return_dict=True
    ).items():
        click.echo(f"Test {measure} {value:.4f}")


def label_form(model: Model) -> str:
    """The form of labels that the model's loss takes: "integer" or "one-hot"."""
    used: dict[str, Any] = model.preprocessing or {}
    if "labels" in used:
        return str(used["labels"])
    loss = model.trainer.loss if isinstance(model.trainer.loss, str) else type(model.trainer.loss).__name__
    return "integer" if loss.lower().startswith("sparse") else "one-hot"
