"""What a training reached, beside what the article reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .results import Results, columns, replacing

if TYPE_CHECKING:
    from minicnn.articles import Article

    from .recorder import Recorder


def comparison(result: dict[str, float], part: str, article: Article | None, epochs: int) -> list[str]:
    """The result, measure by measure, beside what the article reports.

    Args:
        result: the loss and the metrics.
        part: what they were measured on, "test" or "validation".
        article: whose figures to show; None where it used other data.
        epochs: trained for.
    """
    lines = []
    for name, value in result.items():
        line = f"{part.capitalize()} {name} {value:.4f}"
        figure = None if article is None else article.figure(f"{part} {name}", epochs)
        if figure is not None:
            plural = "" if figure.epochs == 1 else "s"
            note = f", {figure.note}" if figure.note else ""
            line += f"   (the article: {figure.value:.4f} after {figure.epochs} epoch{plural}{note})"
        lines.append(line)
    return lines


def draw(
    results: Results,
    recorder: Recorder,
    result: dict[str, float],
    part: str,
    article: Article | None,
    epochs: int,
    title: str,
) -> None:
    """Draw the epochs, the steps between them, the test result, and the article's figures; arguments as above."""
    from minicnn import plots

    reported = {}
    for name in result:
        figure = None if article is None else article.figure(f"{part} {name}", epochs)
        if figure is not None and not figure.note:
            reported[name] = figure.value
    with replacing(results.picture) as temporary:
        plots.history(
            columns(recorder.epochs),
            path=temporary,
            steps=columns(recorder.steps),
            # What was validated on has a curve, which ends there.
            test=result if part == "test" else None,
            reported=reported,
            title=title,
        )
