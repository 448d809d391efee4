"""What a training reached, beside what the article reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .recorder import best_epoch
from .results import BEST, Results, columns, replacing

if TYPE_CHECKING:
    from minicnn.articles import Article

    from .recorder import Recorder
    from .training_data import TrainingData


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
            note = f", {figure.note}" if figure.note else ""
            line += f"   (the article: {figure.value:.4f} {figure.when}{note})"
        lines.append(line)
    return lines


def measure_best(recorder: Recorder, data: TrainingData, device: str) -> dict[str, float] | None:
    """What the model of the best validation epoch reaches; None where none was chosen, or it is not there any more.

    Returns:
        the number of the epoch as "epoch", the loss and the metrics.
    """
    from minicnn.saving import load_model

    chosen, path = best_epoch(recorder.epochs), recorder.results.best
    if chosen is None or not recorder.keeps_best or not path.exists():
        return None
    model = load_model(path).to(device)
    # A training that was begun before best models were kept has lost that of its best epoch.
    return {"epoch": model.epoch, **data.measure(model)} if model.epoch == chosen["epoch"] else None


def best_line(best: dict[str, float] | None, part: str) -> list[str]:
    """What the model of the best validation epoch reaches, if one was kept: no line or one."""
    if best is None:
        return []
    values = ", ".join(f"{name} {value:.4f}" for name, value in best.items() if name != "epoch")
    return [f"The best validation accuracy came in epoch {best['epoch']}: {part} {values} ({BEST})"]


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
