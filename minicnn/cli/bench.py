"""`minicnn bench`: an article's network trained by minicnn and by Keras, side by side."""

from __future__ import annotations

import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
import numpy as np

from .contestant import ARRAYS, describe_layers, is_channels_first
from .options import Name, data_options, device_option
from .results import Results, computer, replacing, versions

if TYPE_CHECKING:
    from minicnn.articles import Article, Recipe
    from minicnn.models import Sequential

    from .pictures import Pictures

BACKENDS = ("tensorflow", "jax", "torch")
PICTURE, TABLE, RECORD = "bench.png", "bench.md", "bench.json"
# Keras takes a GPU wherever its backend finds one; where minicnn computes on the processor it is kept from that.
ON_PROCESSORS = {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu", "KERAS_TORCH_DEVICE": "cpu"}


class Row(NamedTuple):
    """One measure of both; None where it was not reached."""

    measure: str
    ours: float | None
    theirs: float | None
    less_is_better: bool = True

    def cells(self) -> tuple[str, str, str, str]:
        """Measure, both figures, and who is ahead by how much."""
        return self.measure, _number(self.ours), _number(self.theirs), self._verdict()

    def _verdict(self) -> str:
        if not self.ours or not self.theirs:
            return ""
        ratio = self.theirs / self.ours if self.less_is_better else self.ours / self.theirs
        size = f"{max(ratio, 1 / ratio):.2f}"
        if size == "1.00":
            return "equal"
        return f"{size} times, minicnn {'is ahead' if ratio > 1 else 'loses'}"


@click.command()
@click.argument("name")
@click.option("--against", type=Name(("keras",)), required=True, help="The library to compare with.")
@click.option("--backend", type=Name(BACKENDS), help="Keras' backend (default: $KERAS_BACKEND, else the first found).")
@data_options("training")
@click.option("--recipe", metavar="R", help="Which of the network's recipes (default: its first).")
@click.option("--epochs", type=click.IntRange(min=1), metavar="N", help="How long (default: 2).")
@click.option("--batch-size", type=click.IntRange(min=1), metavar="N", help="Pictures a step (default: the article's).")
@click.option("--seed", type=click.IntRange(min=0), metavar="N", default=0, help="Of the weights and the order.")
@click.option("--threads", type=click.IntRange(min=1), metavar="N", help="For both (default: all processors).")
@device_option
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), metavar="DIR", help="Results (default: runs/NAME-bench)."
)
def bench(name: str, against: str, backend: str | None, out: Path | None, **asked: Any) -> None:
    """Train an article's network with minicnn and with Keras: same weights at first, same batches.

    Each runs in a process of its own, one after the other, through its own `fit`, on the same device.
    """
    from minicnn import articles

    backend = _backend(backend)
    article = articles.get(name)
    results = Results(out or Path("runs") / f"{name}-bench")
    Match(article, article.recipe(asked.pop("recipe")), backend, results, **asked).run()


def _backend(wanted: str | None) -> str:
    """Keras' backend that will be used; ValueError where Keras or a backend is missing."""
    wanted = wanted or os.environ.get("KERAS_BACKEND") or next(filter(_installed, BACKENDS), "tensorflow")
    missing = [package for package in ("keras", wanted) if not _installed(package)]
    if missing:
        raise ValueError(
            f"bench compares with Keras on {wanted}, but these are not installed: {', '.join(missing)}; "
            f"python -m pip install {' '.join(missing)}"
        )
    return wanted


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


class Match:
    """One run of `minicnn bench`."""

    def __init__(
        self,
        article: Article,
        recipe: Recipe,
        backend: str,
        results: Results,
        *,
        dataset: str | None,
        data: Path | None,
        samples: int | None,
        epochs: int | None,
        batch_size: int | None,
        seed: int,
        threads: int | None,
        device: str,
    ) -> None:
        import minicnn

        self.device = device
        self.article, self.recipe, self.backend, self.results = article, recipe, backend, results
        self.dataset, self.data, self.samples, self.seed = dataset, data, samples, seed
        self.epochs = epochs or 2
        self.batch_size = batch_size or recipe.batch_size
        self.threads = threads or minicnn.get_num_threads()

    def run(self) -> None:
        """From the data to the table and the chart."""
        pictures = self._load()
        click.echo(pictures.describe())
        self.results.prepare()
        with tempfile.TemporaryDirectory(prefix="minicnn-bench-") as name:
            folder = Path(name)
            self._write_task(folder, pictures)
            found = {engine: self._train(engine, folder) for engine in ("minicnn", "keras")}
        gap = np.abs(np.subtract(*(np.array(side["first predictions"]) for side in found.values()))).max()
        if not gap <= 1e-4:
            raise ValueError(f"bench: with the same weights the predictions differ by {gap:.2g}; nothing is compared")
        self._tell(found, pictures, float(gap))

    def _load(self) -> Pictures:
        from . import pictures

        if self.article.dataset is None:
            raise ValueError(f"{self.article.name} has no data set to be trained on")
        may_draw = self.dataset is None and self.data is None
        wanted = self.dataset or self.article.dataset
        return pictures.load(wanted, self.data, samples=self.samples, seed=self.seed, may_draw=may_draw)

    def _write_task(self, folder: Path, pictures: Pictures) -> None:
        """Put all that both sides need into a folder."""
        from .pictures import as_labels, preparation

        model = self._model()
        scale, measured = self.recipe.scale, self.recipe.measured_scale
        kept = len(pictures.x_train) - int(len(pictures.x_train) * self.recipe.validation_split)
        form, classes = self.recipe.labels, len(self.article.classes)
        arrays = (
            preparation(model, scale)(pictures.x_train[:kept]),
            as_labels(pictures.y_train[:kept], form, classes),
            preparation(model, scale if measured is None else measured)(pictures.x_test),
            as_labels(pictures.y_test, form, classes),
        )
        for name, array in zip(ARRAYS, arrays, strict=True):
            np.save(folder / f"{name}.npy", array)
        model.save(folder / "model.minicnn")
        np.savez(folder / "weights.npz", *model.get_weights())
        task = {
            "layers": describe_layers(model),
            "input_shape": model.input_shape[1:],
            "channels_first": is_channels_first(model),
            "optimizer": _describe_optimizer(model.optimizer),
            "loss": self.recipe.loss,
            "metrics": list(self.recipe.metrics),
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "seed": self.seed,
            "threads": self.threads,
            "device": self.device,
            "backend": self.backend,
        }
        (folder / "task.json").write_text(json.dumps(task), encoding="utf-8")

    def _model(self) -> Sequential:
        import minicnn
        from minicnn.layers import reset_names

        minicnn.set_seed(self.seed)
        reset_names()
        model = self.article.build()
        recipe = self.recipe
        model.compile(
            optimizer=recipe.optimizer(),
            loss=recipe.loss,
            metrics=list(recipe.metrics),
            clip_probabilities=recipe.clip_probabilities,
        )
        return model

    def _train(self, engine: str, folder: Path) -> dict[str, Any]:
        plural = "" if self.epochs == 1 else "s"
        where = f" on {self.backend}" if engine == "keras" else ""
        click.echo(f"Training with {engine}{where}: {self.epochs} epoch{plural} ...")
        import minicnn

        limits = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(self.threads))
        if self.device == "cpu":
            limits |= ON_PROCESSORS
        # The same minicnn as here, installed or not.
        paths = [str(Path(minicnn.__file__).parent.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        finished = subprocess.run(  # noqa: S603 - our own module
            [sys.executable, "-m", "minicnn.cli.contestant", engine, str(folder)],
            env={**os.environ, **limits, "PYTHONPATH": os.pathsep.join(paths)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        if finished.returncode:
            last = finished.stderr.strip().splitlines()[-1:] or [f"status {finished.returncode}"]
            raise ValueError(f"bench: the training with {engine} failed: {last[0]}")
        answer: dict[str, Any] = json.loads((folder / f"{engine}.json").read_text(encoding="utf-8"))
        return answer

    # -------------------------------------------------------------------- the outcome

    def _tell(self, found: dict[str, dict[str, Any]], pictures: Pictures, gap: float) -> None:
        rows = self._rows(found["minicnn"], found["keras"], pictures)
        lines = _markdown(rows)
        for side in found.values():
            lines.append(f"- {side['about']}")
        lines.append(
            f"- {self.article.name}, {pictures.where}, batches of {self.batch_size}, seed {self.seed}; with the same "
            f"weights at first, predictions differ by at most {gap:.1g}"
        )
        if any("Dropout" in type(layer).__name__ for layer in self._model().layers):
            lines.append("- each drops units by random numbers of its own, so the curves part")
        with replacing(self.results.folder / TABLE) as temporary:
            temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
        record = {"article": self.article.name, "computer": computer(), "versions": versions(), **found}
        with replacing(self.results.folder / RECORD) as temporary:
            temporary.write_text(json.dumps(record) + "\n", encoding="utf-8")
        self._draw(found)
        click.echo("\n" + "\n".join(_aligned(rows)) + "\n")
        for side in found.values():
            click.echo(side["about"])
        click.echo(f"Results in {self.results.folder}: {PICTURE}, {TABLE}, {RECORD}")

    def _rows(self, ours: dict[str, Any], theirs: dict[str, Any], pictures: Pictures) -> list[Row]:
        both = (ours, theirs)
        rows = [
            Row("milliseconds a step", *(1000 * statistics.median(side["steps"]) for side in both)),
            Row("seconds for the first epoch", *(side["epochs"][0] for side in both)),
        ]
        if self.epochs > 1:
            rows.append(Row("seconds an epoch after it", *(statistics.median(side["epochs"][1:]) for side in both)))
        figure = self.article.figure("test accuracy", self.epochs)
        if figure is not None and pictures.name == self.article.dataset:
            label = f"seconds of training to the article's {figure.value:.4f}"
            rows.append(Row(label, _seconds_to(ours, figure.value), _seconds_to(theirs, figure.value)))
        rows.append(Row("peak memory, MiB", *(side["peak MiB"] for side in both)))
        for measure in both[0]["test"][-1]:
            last, other = (side["test"][-1].get(measure) for side in both)
            rows.append(Row(f"test {measure}", last, other, less_is_better=measure == "loss"))
        return rows

    def _draw(self, found: dict[str, dict[str, Any]]) -> None:
        from minicnn import plots

        curves = {name: side["losses"] for name, side in found.items()}
        title = f"{self.article.name}: the loss of each batch"
        with replacing(self.results.folder / PICTURE) as temporary:
            plots.loss_curves(curves, title=title, path=temporary)


def _describe_optimizer(optimizer: Any) -> tuple[str, dict[str, Any]]:
    config = {name: value for name, value in optimizer.get_config().items() if value is not None and name != "name"}
    return type(optimizer).__name__, config


def _seconds_to(side: dict[str, Any], accuracy: float) -> float | None:
    """Seconds of training, compilation included, after which the test accuracy was first that high."""
    seconds = 0.0
    for epoch, test in zip(side["epochs"], side["test"], strict=True):
        seconds += epoch
        if test.get("accuracy", 0.0) >= accuracy:
            return seconds
    return None


def _number(value: float | None) -> str:
    if value is None:
        return "not reached"
    return f"{value:,.0f}" if value >= 100 else f"{value:.4f}" if value < 1 else f"{value:.2f}"


_HEAD = ("", "minicnn", "Keras", "")


def _markdown(rows: list[Row]) -> list[str]:
    lines = ["| " + " | ".join(_HEAD) + " |", "|---" * len(_HEAD) + "|"]
    return lines + ["| " + " | ".join(row.cells()) + " |" for row in rows] + [""]


def _aligned(rows: list[Row]) -> list[str]:
    table = [_HEAD, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in table) for column in range(len(_HEAD))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in table]
