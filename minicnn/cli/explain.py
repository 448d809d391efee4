"""`minicnn explain`: the arithmetic behind one number that a saved model makes of a picture, or behind a derivative."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from minicnn.errors import nearest_names

from .options import Name, device_option, machine_options, use_machine

if TYPE_CHECKING:
    from minicnn.models import Model


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
    help="Which number of the layer's output, counted from 0; with --weight, which of the weight's.",
)  # fmt: skip
@click.option(
    "--gradient", "true_class", metavar="CLASS",
    help="The derivative of the loss by that number instead, where IMAGE shows CLASS (its name or number).",
)  # fmt: skip
@click.option(
    "--weight", type=Name(("kernel", "bias")),
    help="With --gradient: by a number of the layer's kernel (ROW,COLUMN,CHANNEL,FILTER or INPUT,UNIT) or bias.",
)  # fmt: skip
@click.option("--loss", metavar="NAME", help="With --gradient: which loss (default: what the model was trained on).")
@click.option("--show", type=click.Path(path_type=Path), metavar="PATH", help="Draw it, too: a PNG file.")
@machine_options
@device_option
def explain(
    file: Path,
    image: Path,
    layer: str,
    place: tuple[int, ...],
    true_class: str | None,
    weight: str | None,
    loss: str | None,
    show: Path | None,
    threads: int | None,
    kernels: str | None,
    device: str,
) -> None:
    """Show the arithmetic behind one number that the model in FILE makes of IMAGE.

    Window, kernel, products, sum, bias and activation, and which pixels of the picture the number depends on. With
    --gradient the way back: the products that the derivative of the loss by the number is the sum of. The picture is
    prepared as for minicnn predict.
    """
    from minicnn import explain as explaining

    from .listing import saved
    from .loading import fitted
    from .pictures import preparation

    use_machine(threads, kernels)
    if show is not None and show.suffix.lower() != ".png":
        raise ValueError(f"--show {show}: expected a file that ends in .png")
    for option, given in (("--weight", weight), ("--loss", loss)):
        if given is not None and true_class is None:
            raise ValueError(f"{option} {given} is for derivatives: name the picture's class with --gradient")
    model = saved(file).to(device)
    prepare = preparation(model)
    target = None if true_class is None else target_of(model, true_class, loss)
    x = prepare(fitted(model, image, prepare)[np.newaxis])
    explained: Any
    if true_class is None:
        explained = explaining.pixel(model, x, layer, place)
    elif weight is None:
        explained = explaining.pixel_gradient(model, x, target, layer, place, loss=loss)
    else:
        explained = explaining.weight_gradient(model, x, target, layer, place, weight=weight, loss=loss)
    click.echo(str(explained))
    if show is not None:
        draw(explained, show)


def target_of(model: Model, true_class: str, loss: str | None) -> np.ndarray:
    """What the loss compares the model's output with, where the picture is of a class.

    Raises:
        ValueError: there is no such class or loss, or the model's outputs are no classes.
    """
    from minicnn.training.outputs import loss_of

    from .pictures import as_labels
    from .training_data import label_form

    if not isinstance(model.output_shape, tuple) or len(model.output_shape) != 2:
        raise ValueError(f"--gradient: {model.name} gives {model.output_shape}, which are no classes")
    outputs = int(model.output_shape[1])
    number = class_number(true_class, list(model.class_names or ()), max(outputs, 2))
    measure = loss_of(model, loss, (None,), model.output_shape)
    if measure is None:
        raise ValueError(f"--gradient: {model.name} was not compiled with a loss: name one with --loss")
    return as_labels(np.array([number]), label_form(model, measure.name), outputs)


def class_number(true_class: str, names: list[str], count: int) -> int:
    """The number of a class that is given by its name, or by its number among so many.

    Raises:
        ValueError: there is none; the message suggests the nearest name.
    """
    if true_class in names[:count]:
        return names.index(true_class)
    if true_class.isdecimal() and int(true_class) < count:
        return int(true_class)
    nearest = [] if true_class.isdecimal() else nearest_names(true_class, names, count=1)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
    raise ValueError(f"--gradient {true_class}: expected a class by its name, or by its number 0 to {count - 1}{hint}")


def draw(explained: Any, target: Path) -> None:
    """Write the picture of an explanation to a file."""
    from .results import replacing

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as temporary:
            explained.plot(temporary)
    except OSError as error:
        raise ValueError(f"--show: {target} cannot be written: {error.strerror or error}") from None
