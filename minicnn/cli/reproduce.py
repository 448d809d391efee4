"""`minicnn reproduce`: the articles' networks trained as reported, and what comes of it beside what they report."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from minicnn.errors import unknown_name

from .options import device_option, machine_options, use_machine
from .results import replacing, write_json

if TYPE_CHECKING:
    from minicnn.articles import Article

# The letters that articles have in the index, and whose article each is.
AUTHORS = {"A": "Strika", "B": "FreeOfConfines", "C": "Eastmount", "D": "Le Khuyen", "E": "Besbes"}


@click.command()
@click.argument("names", metavar="NAME|ARTICLE|all", nargs=-1, required=True)
@click.option("--recipe", metavar="R", help="Only this recipe (default: all that a network has).")
@click.option("--epochs", type=click.IntRange(min=1), metavar="N", help="How long (default: the articles').")
@click.option("--samples", type=click.IntRange(min=1), metavar="N", help="Use only the first N training pictures.")
@click.option("--seeds", type=click.IntRange(min=1), default=1, metavar="N", help="Train N times; report medians.")
@click.option("--data", type=click.Path(path_type=Path), metavar="PATH", help="Folder or zip archive with the data.")
@machine_options
@device_option
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), default=Path("runs") / "reproduction", metavar="DIR",
    help="Results (default: runs/reproduction).",
)  # fmt: skip
def reproduce(
    names: tuple[str, ...], recipe: str | None, seeds: int, threads: int | None, kernels: str | None, device: str,
    out: Path, **asked: Any,
) -> None:  # fmt: skip
    """Train articles' networks as their recipes say, and put the results beside the articles' own.

    NAME is a network. ARTICLE is a letter: A for Strika's cats and dogs, B for FreeOfConfines' clothes, C for
    Eastmount's digits, D for Le Khuyen's, E for Besbes' cats and dogs. "all" is all of them. Stopped at any moment, the
    same command goes on from the last finished epoch; rows of earlier commands stay in the table. A network whose data
    is missing is left out, and said to be.
    """
    from . import reproduction, trials
    from .reproduction_table import table

    use_machine(threads, kernels)
    out.mkdir(parents=True, exist_ok=True)
    written = out / "reproduction.json"
    known = reproduction.load(written)
    rows, failures = [], {}
    for article, key in planned(names, recipe):
        try:
            records = [trials.run(_trial(article, key, seed, asked, out), out, device) for seed in range(seeds)]
        except (ValueError, OSError) as error:
            failures[f"{article.name} ({key})"] = " ".join(str(error).split())
            click.echo(f"{article.name}: not run: {failures[f'{article.name} ({key})']}", err=True)
            continue
        rows.append(reproduction.row(article, key, records))
        everything = reproduction.merged(known, rows)
        write_json(written, {"rows": everything, "not run": failures})
        with replacing(out / "reproduction.md") as temporary:
            temporary.write_text(table(everything, failures) + "\n", encoding="utf-8")
    if not rows:
        raise ValueError("; ".join(f"{name}: {reason}" for name, reason in failures.items()))
    click.echo(table(rows, failures))
    click.echo(f"Results in {out}: reproduction.md, reproduction.json, a folder for each training")


def planned(names: tuple[str, ...], recipe: str | None) -> list[tuple[Article, str]]:
    """The networks that the names mean, each once, with each recipe that is asked for.

    Raises:
        ValueError: a name is none, or no network has the recipe.
    """
    from minicnn import articles

    known = articles.names()
    chosen: dict[str, Article] = {}
    for name in names:
        if name == "all" or name in AUTHORS:
            every = [articles.get(one) for one in known]
            found = [a for a in every if name == "all" or any(place.startswith(name) for place in a.index)]
            chosen.update({article.name: article for article in found if article.recipes})
        elif name in known:
            chosen[name] = articles.get(name)
        else:
            raise ValueError(unknown_name("network", name, [*known, *AUTHORS, "all"]))
    pairs = [(article, key) for article in chosen.values() for key in article.recipes if recipe in (None, key)]
    if not pairs:
        whose = ", ".join(names)
        raise ValueError(f"none of {whose} has the recipe {recipe!r}" if recipe else f"{whose}: nothing to train there")
    return pairs


def _trial(article: Article, recipe: str, seed: int, asked: dict[str, Any], out: Path) -> Any:
    from .trials import Trial

    name = f"{article.name}-{recipe}" + (f"-seed{seed}" if seed else "")
    words = ["minicnn", "train", article.name, "--recipe", recipe, "--seed", str(seed)]
    for key, value in asked.items():
        if value is not None:
            words += [f"--{key}", str(value)]
    command = shlex.join([*words, "--out", str(out / name)])
    return Trial(name, article, {**asked, "recipe": recipe, "seed": seed}, command)
