"""`minicnn train`: an article's network from its data to a folder with the model, its history and a picture."""

from __future__ import annotations

import shlex
import sys
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from .options import INTERRUPTED, data_options, device_option, machine_options, use_machine
from .recorder import CtrlC, Interrupted, Recorder
from .results import Results, columns, computer, replacing, versions

if TYPE_CHECKING:
    from minicnn.articles import Article, Recipe
    from minicnn.models import Sequential

    from .pictures import Pictures


@dataclass(frozen=True)
class Settings:
    """What decides the bits of a training; kept in ``history.json``, so that `--resume` goes on with the same."""

    recipe: str
    dataset: str
    data: str | None
    samples: int | None
    epochs: int
    batch_size: int
    seed: int

    def command(self, article: str, out: Path) -> str:
        """The command that repeats this training."""
        words = ["minicnn", "train", article]
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None:
                words += [f"--{field.name.replace('_', '-')}", str(value)]
        return shlex.join([*words, "--out", str(out)])


@dataclass(frozen=True)
class Arrays:
    """What the network is given."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


@click.command()
@click.argument("name")
@data_options("training")
@click.option("--recipe", metavar="R", help="Which of the network's recipes (default: its first).")
@click.option("--epochs", type=click.IntRange(min=1), metavar="N", help="How long (default: the article's).")
@click.option("--batch-size", type=click.IntRange(min=1), metavar="N", help="Pictures a step (default: the article's).")
@click.option("--seed", type=click.IntRange(min=0), metavar="N", help="Same seed, same result (default: 0).")
@machine_options
@device_option
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), metavar="DIR", help="Results (default: runs/NAME)."
)
@click.option("--resume", is_flag=True, help="Go on from the last finished epoch of the training in --out.")
def train(
    name: str, threads: int | None, kernels: str | None, device: str, out: Path | None, resume: bool, **asked: Any
) -> None:
    """Train an article's network and measure it on the test pictures.

    NAME is one of those that `minicnn articles` lists. Ctrl-C ends the training with its state saved.
    """
    from minicnn import articles

    article = articles.get(name)
    results = Results(out or Path("runs") / name)
    record = results.read_history() if resume else None
    settings = _settings(article, asked, record)
    use_machine(threads, kernels)
    # Only a training that starts, and was not told which pictures to use, may settle for drawn ones.
    may_draw = record is None and asked["dataset"] is None and asked["data"] is None
    Training(article, settings, results, record, may_draw, device).run()


def _settings(article: Article, asked: dict[str, Any], record: dict[str, Any] | None) -> Settings:
    """What was asked for; else what the training to be resumed had; else what the article says."""
    if record is not None and record["article"] != article.name:
        raise ValueError(f"the training to be resumed is of {record['article']!r}, not of {article.name!r}")
    earlier = dict(record["settings"]) if record is not None else {}
    if asked["data"] is not None:
        asked["data"] = str(asked["data"])
    for key in ("recipe", "dataset", "samples", "batch_size", "seed"):
        if record is not None and asked[key] is not None and asked[key] != earlier.get(key):
            option = "--" + key.replace("_", "-")
            raise ValueError(f"{option} {asked[key]} differs from the training to be resumed ({earlier.get(key)})")
    chosen: dict[str, Any] = {key: earlier.get(key) if value is None else value for key, value in asked.items()}
    chosen["recipe"] = chosen["recipe"] or article.default_recipe
    recipe = article.recipe(chosen["recipe"])
    defaults: dict[str, Any] = {
        "dataset": article.dataset,
        "epochs": recipe.epochs,
        "batch_size": recipe.batch_size,
        "seed": 0,
    }
    complete: dict[str, Any] = {key: defaults.get(key) if value is None else value for key, value in chosen.items()}
    return Settings(**complete)


class Training:
    """One run of `minicnn train`."""

    def __init__(
        self,
        article: Article,
        settings: Settings,
        results: Results,
        record: dict[str, Any] | None,
        may_draw: bool,
        device: str,
    ) -> None:
        self.article = article
        self.recipe: Recipe = article.recipe(settings.recipe)
        self.settings = settings
        self.results = results
        self.earlier = record
        self.may_draw = may_draw
        self.device = device
        self.ctrl_c = CtrlC()

    def run(self) -> None:
        """From the data to the results."""
        pictures = self._load()
        click.echo(pictures.describe())
        self.settings = replace(self.settings, dataset=pictures.name)
        self.results.prepare()
        model = self._resumed() if self.earlier is not None else self._fresh()
        data = self._arrays(model, pictures)
        if self.earlier is not None and not self.earlier["finished"] and model.epoch == self.settings.epochs:
            # Stopped after the last epoch, before the result was there.
            self._finish(model, self._recorder(model), data)
            return
        with self.ctrl_c.deferred():
            try:
                self._announce(model, data)
                self.ctrl_c.check()
            except Interrupted:
                raise KeyboardInterrupt from None
            if self.earlier is None:
                self.results.forget_unfinished()
                # The steps that were timed have drawn from the seeds: start again from the root.
                model = self._fresh()
            self._describe_use(model, pictures)
            recorder = self._fit(model, data)
        self._finish(model, recorder, data)

    def _load(self) -> Pictures:
        from . import pictures

        settings = self.settings
        folder = Path(settings.data) if settings.data else None
        return pictures.load(
            settings.dataset, folder, samples=settings.samples, seed=settings.seed, may_draw=self.may_draw
        )

    def _fresh(self) -> Sequential:
        """The network with new weights that depend on the seed alone."""
        import minicnn
        from minicnn.layers import reset_names

        minicnn.set_seed(self.settings.seed)
        reset_names()
        return self._compiled(self.article.build())

    def _compiled(self, model: Sequential) -> Sequential:
        model.compile(
            optimizer=self.recipe.optimizer(),
            loss=self.recipe.loss,
            metrics=list(self.recipe.metrics),
            clip_probabilities=self.recipe.clip_probabilities,
        )
        return model.to(self.device)

    def _resumed(self) -> Sequential:
        """The network after its last finished epoch, or a fresh one if it finished none."""
        from minicnn.saving import load_model

        if self.results.checkpoint.exists():
            return load_model(self.results.checkpoint).to(self.device)
        if self.earlier and self.earlier.get("finished") and self.results.model.exists():
            return load_model(self.results.model).to(self.device)
        click.echo("No epoch was finished before: starting again from the beginning")
        return self._fresh()

    def _arrays(self, model: Sequential, pictures: Pictures) -> Arrays:
        from .pictures import as_labels, preparation

        recipe = self.recipe
        form, classes = recipe.labels, len(self.article.classes)
        measured_scale = recipe.scale if recipe.measured_scale is None else recipe.measured_scale
        return Arrays(
            preparation(model, recipe.scale)(pictures.x_train),
            as_labels(pictures.y_train, form, classes),
            preparation(model, measured_scale)(pictures.x_test),
            as_labels(pictures.y_test, form, classes),
        )

    def _announce(self, model: Sequential, data: Arrays) -> None:
        """Refuse what does not fit into memory; say how long the rest takes."""
        from . import machine
        from .estimate import check_memory, estimate, time_training

        settings, recipe = self.settings, self.recipe
        memory = check_memory(model, min(settings.batch_size, len(data.x_train)), machine.available_memory())
        memory += machine.resident_memory() or 0
        epochs = settings.epochs - model.epoch
        if epochs < 1:
            raise ValueError(f"this training has {model.epoch} epochs already: ask for more than that with --epochs")
        click.echo(f"Network: {self.article.name}, recipe {settings.recipe}; timing a few steps first ...")
        timings = time_training(self._fresh, data.x_train, data.y_train, settings.batch_size)
        held_out = int(len(data.x_train) * recipe.validation_split)
        after_epoch = len(data.x_test) if recipe.validate_on_test else held_out
        expected = estimate(
            timings,
            pictures=len(data.x_train) - held_out,
            measured=epochs * after_epoch + len(data.x_test),
            batch_size=settings.batch_size,
            epochs=epochs,
            memory=memory,
        )
        plural = "" if epochs == 1 else "s"
        click.echo(f"Expect about {expected} for {epochs} epoch{plural} of {len(data.x_train):,} pictures")

    def _describe_use(self, model: Sequential, pictures: Pictures) -> None:
        """Let the model's file carry what `evaluate` and `predict` need."""
        from .pictures import preparation

        digits = pictures.name in ("mnist", "drawn-digits")
        model.class_names = list(pictures.classes)
        model.preprocessing = {
            "fit": "digit" if digits else "picture",
            "input": preparation(model, self.recipe.scale).get_config(),
            "labels": self.recipe.labels,
            "dataset": pictures.name,
        }

    def _fit(self, model: Sequential, data: Arrays) -> Recorder:
        recorder = self._recorder(model)
        validation: dict[str, Any] = {}
        if self.recipe.validate_on_test:
            validation["validation_data"] = (data.x_test, data.y_test)
        elif self.recipe.validation_split:
            validation["validation_split"] = self.recipe.validation_split
        try:
            model.fit(
                data.x_train,
                data.y_train,
                batch_size=self.settings.batch_size,
                epochs=self.settings.epochs,
                shuffle=self.recipe.shuffle,
                initial_epoch=model.epoch,
                callbacks=[recorder],
                verbose=1 if sys.stdout.isatty() else 2,
                **validation,
            )
        except (Interrupted, KeyboardInterrupt):
            self._stop(model, recorder)
            raise click.exceptions.Exit(INTERRUPTED) from None
        return recorder

    def _recorder(self, model: Sequential) -> Recorder:
        return Recorder(self.results, self._record(model), self.earlier, model.epoch, self.ctrl_c)

    def _record(self, model: Sequential) -> dict[str, Any]:
        """What ``history.json`` says beside the epochs."""
        import minicnn

        return {
            "article": self.article.name,
            "command": self.settings.command(self.article.name, self.results.folder),
            "settings": asdict(self.settings),
            "seed": self.settings.seed,
            "parameters": model.count_params(),
            "versions": versions(),
            "computer": computer(),
            "threads": minicnn.get_num_threads(),
            "kernels": minicnn.kernels.current_kernels() if self.device == "cpu" else self.device,
            "reported": [asdict(figure) for figure in self.article.figures],
        }

    def _stop(self, model: Sequential, recorder: Recorder) -> None:
        model.save(self.results.model)
        recorder.write()
        click.echo(
            f"\nStopped after {recorder.finished} finished epochs. The network as it is now: {self.results.model}. "
            f"To go on from the last finished epoch: minicnn train {self.article.name} "
            f"--out {shlex.quote(str(self.results.folder))} --resume"
        )

    def _finish(self, model: Sequential, recorder: Recorder, data: Arrays) -> None:
        """Measure on the test pictures, save everything, tell."""
        test = model.evaluate(
            data.x_test, data.y_test, batch_size=self.settings.batch_size, verbose=0, return_dict=True
        )
        model.save(self.results.model)
        recorder.write(test)
        self.results.forget_unfinished()
        self._draw(recorder, test)
        for line in self._comparison(test, self.settings.epochs):
            click.echo(line)
        click.echo(f"Results in {self.results.folder}: {', '.join(self.results.names())}")

    def _comparison(self, test: dict[str, float], epochs: int) -> list[str]:
        """The test result, measure by measure, beside what the article reports."""
        lines = []
        for name, value in test.items():
            line = f"Test {name} {value:.4f}"
            figure = self.article.figure(f"test {name}", epochs)
            if figure is not None and self.settings.dataset == self.article.dataset:
                plural = "" if figure.epochs == 1 else "s"
                note = f", {figure.note}" if figure.note else ""
                line += f"   (the article: {figure.value:.4f} after {figure.epochs} epoch{plural}{note})"
            lines.append(line)
        return lines

    def _draw(self, recorder: Recorder, test: dict[str, float]) -> None:
        from minicnn import plots

        reported = {}
        if self.settings.dataset == self.article.dataset:
            for name in test:
                figure = self.article.figure(f"test {name}", self.settings.epochs)
                if figure is not None and not figure.note:
                    reported[name] = figure.value
        with replacing(self.results.picture) as temporary:
            plots.history(
                columns(recorder.epochs),
                path=temporary,
                steps=columns(recorder.steps),
                test=test,
                reported=reported,
                title=f"{self.article.name} on {self.settings.dataset}",
            )
