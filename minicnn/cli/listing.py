"""`minicnn articles` and `minicnn summary`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from minicnn.models import Model


@click.command()
def articles() -> None:
    """List the articles' networks, which class is which, their recipes and what they report."""
    from minicnn import articles as registry

    width = 1 + max(map(len, registry.names()))
    for name in registry.names():
        article = registry.get(name)
        recipes = f"recipes: {', '.join(article.recipes)}" if article.recipes else "to be looked at"
        click.echo(f"{name:<{width}}{article.title}; {article.parameters:,} parameters; {recipes}")
        notes = [article.note] if article.note else []
        notes.insert(0, f"{', '.join(article.index)}: {article.source}" if article.index else article.source)
        if len(article.classes) == 2:
            notes.insert(1, f"0 = {article.classes[0]}, 1 = {article.classes[1]}")
        for figure in article.figures:
            note = f" ({figure.note})" if figure.note else ""
            notes.append(f"{figure.measure} {figure.value:.4f} {figure.when}{note}")
        for note in notes:
            click.echo(f"{'':<{width}}  {note}")


@click.command()
@click.argument("network", metavar="NAME|FILE")
def summary(network: str) -> None:
    """Show the layers of an article's network or of a saved model."""
    named_or_saved(network).summary()


def named_or_saved(network: str) -> Model:
    """The article's network of that name, else the model in the file of that name."""
    from minicnn import articles as registry

    if network in registry.names():
        return registry.get(network).build()
    if Path(network).suffix or Path(network).exists():
        return saved(Path(network))
    return registry.get(network).build()


def saved(path: Path) -> Model:
    """The model in a file; ValueError if there is none."""
    from minicnn.saving import load_model

    if path.is_dir():
        raise ValueError(f"{path} is a folder: name the model file in it, such as {path / 'model.minicnn'}")
    if not path.exists():
        raise ValueError(f"there is no file {path}")
    return load_model(path)
