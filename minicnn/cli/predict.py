"""`minicnn predict`: what a saved model sees in picture files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from .options import machine_options, use_machine

if TYPE_CHECKING:
    from minicnn.models import Model


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--top", type=click.IntRange(min=1), default=3, metavar="N", help="How many classes (default: 3).")
@click.option(
    "--show", type=click.Path(path_type=Path), metavar="PATH", help="Keep what the network saw: a PNG file or a folder."
)
@machine_options
def predict(
    file: Path, images: tuple[Path, ...], top: int, show: Path | None, threads: int | None, kernels: str | None
) -> None:
    """Name the classes that the model in FILE gives each IMAGE, most probable first.

    Networks for digits see pictures as MNIST was made: dark ink on bright paper inverted, cropped, scaled into 20x20
    and centred by mass in 28x28.
    """
    from .listing import saved

    use_machine(threads, kernels)
    model = saved(file)
    targets = shown_as(show, images)
    for image, target in zip(images, targets, strict=True):
        seen = fitted(model, image)
        probabilities = model.predict(as_batch(model, seen), verbose=0)[0]
        click.echo(f"{image}: {best_classes(model, probabilities, top)}")
        if target is not None:
            keep(seen, target)


def fitted(model: Model, image: Path) -> np.ndarray:
    """The picture as the network is to see it: (H, W, C) uint8."""
    from minicnn.preprocessing import fit_digit, fit_picture

    shape = tuple(model.input_shape[1:])
    if (model.preprocessing or {}).get("kind") == "digit":
        digit = fit_digit(image)
        return digit.reshape(*digit.shape[:2], 1)
    if len(shape) != 3:
        raise ValueError(f"{model.name} takes input of shape {shape}, which is no picture (height, width, channels)")
    height, width, channels = (shape[1], shape[2], shape[0]) if channels_first(shape) else shape
    if channels not in (1, 3):
        raise ValueError(f"{model.name} takes pictures with {channels} channels; picture files have 1 or 3")
    return fit_picture(image, (height, width), channels)


def channels_first(shape: tuple[int, ...]) -> bool:
    """Whether (a, b, c) is (channels, height, width): pictures have 1 or 3 channels and more rows than that."""
    return shape[0] in (1, 3) and shape[2] not in (1, 3)


def as_batch(model: Model, seen: np.ndarray) -> np.ndarray:
    """The one picture (H, W, C) uint8 as the network's input, scaled as in training."""
    shape = tuple(model.input_shape[1:])
    x = seen.astype(np.float32) * np.float32((model.preprocessing or {}).get("scale", 1 / 255))
    if len(shape) == 3 and channels_first(shape):
        x = x.transpose(2, 0, 1)
    return x.reshape(1, *shape)


def best_classes(model: Model, probabilities: np.ndarray, top: int) -> str:
    """ "seven (98.1 %), one (1.2 %)": the most probable classes."""
    names = model.class_names or []
    if probabilities.size == 1:
        # One output is the probability of the positive class, which the file names last.
        name = names[-1] if names else "positive"
        return f"{name} ({100 * float(probabilities.reshape(-1)[0]):.1f} %)"
    order = np.argsort(-probabilities, kind="stable")[:top]
    called = {index: names[index] if index < len(names) else index for index in order}
    return ", ".join(f"{name} ({100 * float(probabilities[index]):.1f} %)" for index, name in called.items())


def shown_as(show: Path | None, images: tuple[Path, ...]) -> list[Path | None]:
    """Where to keep what the network saw of each picture; None for nowhere."""
    if show is None:
        return [None] * len(images)
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

    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as temporary:
        Image.fromarray(seen[:, :, 0] if seen.shape[2] == 1 else seen).save(temporary)
