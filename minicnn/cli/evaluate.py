"""`minicnn evaluate`: a saved model's loss and metrics on pictures that it was not trained on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from .options import data_options, device_option, machine_options, use_machine

if TYPE_CHECKING:
    from minicnn.data.pictures.sources import PictureSource
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
    """Measure the model in FILE on pictures that it was not trained on.

    They are by default the test pictures of the data set that it was trained on, or those that were held out of it. Of
    another folder or archive of pictures, named with --data, all are taken.
    """
    from . import picture_parts
    from .listing import saved

    use_machine(threads, kernels)
    model = saved(file).to(device)
    if not model.compiled:
        raise ValueError(f"{file} holds a model that was never compiled, so it has no loss to measure")
    name = dataset or (model.preprocessing or {}).get("dataset")
    if dataset is None and data is not None and (name is None or name in picture_parts.NAMES):
        name = picture_parts.recognised(data) or picture_parts.FOLDERS
    if name is None:
        raise ValueError(f"{file} does not say which data set it was trained on: name one with --dataset")
    measure = _collection if name in picture_parts.NAMES else _arrays
    for label, value in measure(model, name, data, samples).items():
        click.echo(f"Test {label} {value:.4f}")


def _arrays(model: Model, name: str, data: Path | None, samples: int | None) -> dict[str, float]:
    from . import pictures

    loaded = pictures.load(name, data)
    pictures.check_samples(samples, len(loaded.x_test), "test")
    x_test, y_test = loaded.x_test[:samples], loaded.y_test[:samples]
    x = pictures.preparation(model)(x_test)
    classes = int(model.output_shape[-1])
    click.echo(f"Data: {loaded.where} ({len(x):,} test pictures)")
    return model.evaluate(x, pictures.as_labels(y_test, label_form(model), classes), verbose=0, return_dict=True)


def _collection(model: Model, name: str, data: Path | None, samples: int | None) -> dict[str, float]:
    from .loading import Resizing, loader, skipped_lines
    from .pictures import check_samples, preparation

    where, source, which = _held_out(model, name, data)
    if samples is not None:
        check_samples(samples, len(source), "test")
        source = _share(source, samples)
    click.echo(f"Data: {where} ({len(source):,} pictures{which})")
    prepare = preparation(model)
    batches = loader(source, prepare, Resizing.of(model), label_form(model))
    measured = model.evaluate(batches, verbose=0, return_dict=True)
    for line in skipped_lines(batches.skipped):
        click.echo(line)
    return measured


def _held_out(model: Model, name: str, data: Path | None) -> tuple[str, PictureSource, str]:
    """Where the pictures come from; what the training held out of them, or all of others; and which of the two."""
    from . import picture_parts as parts
    from .pictures import preparation

    used: dict[str, Any] = model.preprocessing or {}
    classes, size = tuple(model.class_names or ()), preparation(model).size or (64, 64)
    if name == parts.DRAWN:
        drawn = parts.drawn(classes, 0, parts.DRAWN_HELD, size)
        return drawn.where, drawn.held, " that were not trained on"
    where, source = parts.listed(name, data, classes)
    if classes and source.class_names != classes:
        raise ValueError(
            f"{where}: expected pictures of the classes that the model knows, {', '.join(classes)}, "
            f"got {', '.join(source.class_names)}"
        )
    division = used.get("division")
    if not division or parts.fingerprint(source) != used.get("collection"):
        return where, source, ", all of them"
    wanted = parts.Wanted(division["train"], division["held"])
    samples = division["samples"]
    return where, parts.divided(source, wanted.limited_to(samples), samples).validation, " held out of the training"


def _share(source: PictureSource, samples: int) -> PictureSource:
    """So many of the pictures, every class by its share."""
    from minicnn.data.sets.stratified import proportional_parts

    from .picture_parts import SPLIT_SEED

    return source.subset(proportional_parts(source.names, np.asarray(source.labels), (samples,), SPLIT_SEED)[0])


def label_form(model: Model) -> str:
    """The form of labels that the model's loss takes: "integer" or "one-hot".

    Raises:
        ValueError: it has no loss.
    """
    from minicnn.training.outputs import loss_of

    from . import training_data

    used: dict[str, Any] = model.preprocessing or {}
    if "labels" in used:
        return str(used["labels"])
    loss = loss_of(model, None, (None,), model.output_shape)
    if loss is None:
        raise ValueError(f"{model.name} was saved without a loss, so there is nothing to measure")
    return training_data.label_form(model, loss.name)
