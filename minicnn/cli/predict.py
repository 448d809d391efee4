"""`minicnn predict`: what a saved model sees in picture files."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from .answers import as_probabilities, best_classes
from .options import device_option, machine_options, use_machine


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("images", metavar="IMAGE...|FOLDER|ZIP", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--top", type=click.IntRange(min=1), default=3, metavar="N", help="How many classes (default: 3).")
@click.option(
    "--show", type=click.Path(path_type=Path), metavar="PATH", help="Keep what the network saw: a PNG file or a folder."
)
@click.option(
    "--csv", "table", type=click.Path(path_type=Path), metavar="PATH", help="Write id and probabilities there."
)
@machine_options
@device_option
def predict(
    file: Path,
    images: tuple[Path, ...],
    top: int,
    show: Path | None,
    table: Path | None,
    threads: int | None,
    kernels: str | None,
    device: str,
) -> None:
    """Name what the model in FILE sees in each IMAGE, or in every picture of a folder or zip archive.

    The most probable classes come first. Networks for digits see pictures as MNIST was made: dark ink on bright paper
    inverted, cropped, scaled into 20x20 and centred by mass in 28x28. Where names or folders say what the pictures of a
    folder show, the log loss and the accuracy follow.
    """
    from .listing import saved
    from .loading import fitted
    from .pictures import preparation
    from .table import is_collection, predict_table

    use_machine(threads, kernels)
    model = saved(file).to(device)
    if table is not None or any(map(is_collection, images)):
        if show is not None:
            raise ValueError("--show is for single pictures, not for folders, archives and --csv")
        predict_table(model, images, top, table)
        return
    prepare = preparation(model)
    targets = shown_as(show, images)
    for image, target in zip(images, targets, strict=True):
        seen = fitted(model, image, prepare)
        probabilities = as_probabilities(model.predict(prepare(seen[np.newaxis]))[0])
        click.echo(f"{image}: {best_classes(model, probabilities, top)}")
        if target is not None:
            keep(seen, target)


def shown_as(show: Path | None, images: tuple[Path, ...]) -> list[Path | None]:
    """Where to keep what the network saw of each picture; None for nowhere."""
    if show is None:
        return [None] * len(images)
    if show.suffix and not show.is_dir() and show.suffix.lower() != ".png":
        raise ValueError(f"--show {show}: expected a file that ends in .png, or a folder")
    if show.suffix and not show.is_dir():
        if len(images) > 1:
            raise ValueError(f"--show {show} names one file, but there are {len(images)} pictures: name a folder")
        return [show]
    names = [image.stem for image in images]
    # Pictures of the same name from different folders must not overwrite each other.
    return [
        show / f"{name}.png" if names.count(name) == 1 else show / f"{name}-{number}.png"
        for number, name in enumerate(names, start=1)
    ]


def keep(seen: np.ndarray, target: Path) -> None:
    """Write the picture (H, W, C) uint8 to a file."""
    from PIL import Image

    from .results import replacing

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as temporary:
            Image.fromarray(seen[:, :, 0] if seen.shape[2] == 1 else seen).save(temporary)
    except OSError as error:
        raise ValueError(f"--show: {target} cannot be written: {error.strerror or error}") from None
