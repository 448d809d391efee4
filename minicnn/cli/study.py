"""`minicnn study`: one network in many variations, and a table of what each reaches."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import data_options, device_option, machine_options, use_machine
from .results import replacing, write_json

if TYPE_CHECKING:
    from minicnn.articles import Article
    from minicnn.optimizers import Optimizer

    from .trials import Trial

# What is varied outside the network, and how `minicnn train` calls it.
_SETTINGS = ("batch_size", "epochs", "recipe", "seed")
_OPTIMIZER = ("learning_rate", "optimizer")


@click.command()
@click.argument("name")
@click.option(
    "--vary", multiple=True, required=True, metavar="WHAT=A,B", help="What to vary, and its values; may be repeated."
)
@data_options("training")
@click.option("--recipe", metavar="R", help="Which of the network's recipes (default: its first).")
@click.option("--epochs", type=click.IntRange(min=1), metavar="N", help="How long (default: the article's).")
@click.option("--seed", type=click.IntRange(min=0), metavar="N", help="Same seed, same result (default: 0).")
@machine_options
@device_option
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), metavar="DIR", help="Results (default: runs/study-NAME)."
)
def study(
    name: str, vary: tuple[str, ...], threads: int | None, kernels: str | None, device: str, out: Path | None,
    **asked: Any,
) -> None:  # fmt: skip
    """Train an article's network in every combination of the values given, and write a table.

    What can be varied: kernel_size (3 or 1x3), filters, strides, padding, dilation_rate, units, activation, pool,
    pool_size, rate, depth, an argument of one layer (conv2d.filters), and of the training batch_size, epochs, recipe,
    seed, learning_rate, optimizer. The same command goes on where it stopped.
    """
    from minicnn import articles

    from . import trials

    article = articles.get(name)
    folder = out or Path("runs") / f"study-{name}"
    grid = [parsed(text) for text in vary]
    combinations = list(combined(grid))
    # All of them before the first is trained: hours later is too late for a typing error.
    planned = [trial(article, changes, asked, folder) for changes in combinations]
    use_machine(threads, kernels)
    rows = []
    for number, (changes, one) in enumerate(zip(combinations, planned, strict=True), 1):
        click.echo(f"[{number}/{len(planned)}]")
        rows.append(row(changes, len(one.article.build().layers), trials.run(one, folder, device)))
        write(rows, folder, name)
    click.echo(table(rows))
    click.echo(f"Results in {folder}: study.md, study.json, a folder for each training")


def parsed(text: str) -> tuple[str, list[Any]]:
    """The name and the values of `WHAT=A,B`.

    >>> parsed("kernel_size=3,1x3"), parsed("rate=.25,0.5"), parsed("activation=relu")
    (('kernel_size', [3, (1, 3)]), ('rate', [0.25, 0.5]), ('activation', ['relu']))
    """
    name, equals, values = text.partition("=")
    if not (equals and name and values) or not all(values.split(",")):
        raise ValueError(f"--vary: expected WHAT=A,B, such as kernel_size=1,3,5, got {text!r}")
    return name, [_value(word) for word in values.split(",")]


def _value(word: str) -> Any:
    parts = word.split("x")
    if len(parts) > 1 and all(part.isdigit() for part in parts):
        return tuple(map(int, parts))
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return word


def combined(grid: Sequence[tuple[str, list[Any]]]) -> Iterator[dict[str, Any]]:
    """Every combination of the values, the last name changing fastest."""
    names = [name for name, _ in grid]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"--vary: {min(twice)} is named twice; give all of its values together, separated by commas")
    for values in itertools.product(*(values for _, values in grid)):
        yield dict(zip(names, values, strict=True))


def trial(article: Article, changes: Mapping[str, Any], asked: Mapping[str, Any], out: Path) -> Trial:
    """The training of one combination.

    Raises:
        ValueError: the network or the training cannot be varied so.
    """
    from minicnn.articles.variations import vary
    from minicnn.layers import reset_names

    from .trials import Trial

    label = ",".join(f"{name}={_text(value)}" for name, value in changes.items())
    network = {name: value for name, value in changes.items() if name not in (*_SETTINGS, *_OPTIMIZER)}

    def build() -> Any:
        # So that layers can be called by the names that they have in every training.
        reset_names()
        return vary(article.build(), network) if network else article.build()

    settings = {**asked, **{name: changes[name] for name in _SETTINGS if name in changes}}
    recipe = settings["recipe"] or article.default_recipe
    make = _optimizer(article.recipe(recipe).optimizer, changes)
    varied = replace(
        article,
        name=f"{article.name}:{label}",
        title=label,
        build=build,
        parameters=int(build().count_params()),
        recipes={**article.recipes, recipe: replace(article.recipe(recipe), optimizer=make)},
        figures=(),
    )
    words = ["minicnn", "study", article.name, *(f"--vary={name}={_text(value)}" for name, value in changes.items())]
    words += [f"--{name.replace('_', '-')}={value}" for name, value in asked.items() if value is not None]
    return Trial(label, varied, settings, shlex.join([*words, f"--out={out}"]))


def _optimizer(make: Callable[[], Optimizer], changes: Mapping[str, Any]) -> Callable[[], Optimizer]:
    from minicnn import optimizers

    def varied() -> Optimizer:
        optimizer = optimizers.get(changes["optimizer"]) if "optimizer" in changes else make()
        if "learning_rate" in changes:
            optimizer.learning_rate = changes["learning_rate"]
        return optimizer

    # An unknown name is found out now.
    varied()
    return varied


def _text(value: Any) -> str:
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)


def row(changes: Mapping[str, Any], layers: int, record: Mapping[str, Any]) -> dict[str, Any]:
    """One line of the table: what was changed, the network's layers, and what its training gave."""
    last = record["epochs"][-1]
    measured = {name.removeprefix("val_"): value for name, value in last.items() if name.startswith("val_")}
    return {
        **{name: _text(value) for name, value in changes.items()},
        "layers": layers,
        "parameters": record["parameters"],
        "epochs": last["epoch"],
        "seconds": sum(epoch["seconds"] for epoch in record["epochs"]),
        "validation accuracy": measured.get("accuracy"),
        f"{record['measured_on']} accuracy": record["measures"]["accuracy"],
    }


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as a table in Markdown."""
    names = [name for name in rows[0] if any(row[name] is not None for row in rows)]
    lines = [names, ["---"] * len(names), *([_cell(row[name]) for name in names] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}" if value <= 1 else f"{value:.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def write(rows: Sequence[Mapping[str, Any]], folder: Path, name: str) -> None:
    """Replace the table by what is known now."""
    write_json(folder / "study.json", list(rows))
    with replacing(folder / "study.md") as temporary:
        temporary.write_text(f"# {name}, varied\n\n{table(rows)}\n", encoding="utf-8")
