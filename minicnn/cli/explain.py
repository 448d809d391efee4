"""`minicnn explain`: the arithmetic behind one number that a saved model makes of a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np

from .options import device_option, machine_options, use_machine


class Place(click.ParamType):
    """Whole numbers with commas between them."""

    name = "place"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """Give the numbers, or fail saying what they mean."""
        try:
            return tuple(int(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not ROW,COLUMN,CHANNEL, such as 4,7,0, nor the number of a UNIT", param, ctx)


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("image", type=click.Path(path_type=Path))
@click.option("--layer", required=True, metavar="NAME", help="Which layer; minicnn summary FILE lists them.")
@click.option(
    "--at", "place", type=Place(), required=True, metavar="ROW,COLUMN,CHANNEL|UNIT",
    help="Which number of the layer's output, counted from 0.",
)  # fmt: skip
@click.option("--show", type=click.Path(path_type=Path), metavar="PATH", help="Draw it, too: a PNG file.")
@machine_options
@device_option
def explain(
    file: Path,
    image: Path,
    layer: str,
    place: tuple[int, ...],
    show: Path | None,
    threads: int | None,
    kernels: str | None,
    device: str,
) -> None:
    """Show the arithmetic behind one number that the model in FILE makes of IMAGE.

    Window, kernel, products, sum, bias and activation, and which pixels of the picture the number depends on. The
    picture is prepared as for minicnn predict.
    """
    from minicnn import explain as explaining

    from .listing import saved
    from .pictures import preparation
    from .predict import fitted

    use_machine(threads, kernels)
    if show is not None and show.suffix.lower() != ".png":
        raise ValueError(f"--show {show}: expected a file that ends in .png")
    model = saved(file).to(device)
    prepare = preparation(model)
    explained = explaining.pixel(model, prepare(fitted(model, image, prepare)[np.newaxis]), layer, place)
    click.echo(str(explained))
    if show is not None:
        draw(explained, show)


def draw(explained: Any, target: Path) -> None:
    """Write the picture of an explanation to a file."""
    from .results import replacing

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as temporary:
            explained.plot(temporary)
    except OSError as error:
        raise ValueError(f"--show: {target} cannot be written: {error.strerror or error}") from None
