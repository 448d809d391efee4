"""`minicnn train`: a network from its data to a folder with the model, its history and a picture."""

from __future__ import annotations

import shlex
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import INTERRUPTED, Name, data_options, device_option, machine_options, use_machine
from .recorder import CtrlC, Interrupted, Patience, Recorder, is_spent
from .results import Results, computer, today, versions
from .settings import FITTINGS, Settings, chosen

if TYPE_CHECKING:
    from minicnn.applications.bottleneck import Extractor
    from minicnn.articles import Article
    from minicnn.models import Model, Sequential

    from .picture_parts import PictureParts
    from .pictures import Pictures
    from .training_data import TrainingData


@click.command()
@click.argument("name")
@data_options("training")
@click.option("--recipe", metavar="R", help="Which recipe, learning rate included (default: the network's first).")
@click.option("--epochs", type=click.IntRange(min=1), metavar="N", help="How long (default: the article's).")
@click.option("--batch-size", type=click.IntRange(min=1), metavar="N", help="Pictures a step (default: the article's).")
@click.option("--seed", type=click.IntRange(min=0), metavar="N", help="Same seed, same result (default: 0).")
@click.option(
    "--augment/--no-augment",
    default=None,
    help="Shear, zoom and flip pictures at random (default: the recipe's).",
)
@click.option("--fitting", type=Name(FITTINGS), help="How pictures come to the network's size (default: squeeze).")
@machine_options
@device_option
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), metavar="DIR", help="Results (default: runs/NAME)."
)
@click.option("--resume", is_flag=True, help="Go on from the last finished epoch of the training in --out.")
def train(
    name: str, threads: int | None, kernels: str | None, device: str, out: Path | None, resume: bool, **asked: Any
) -> None:
    """Train an article's network and measure it on pictures that it has not seen.

    NAME is one of those that `minicnn articles` lists. --data may name a folder or zip archive of pictures, with a
    sub-folder for each class, or cats and dogs in any of the usual layouts. Ctrl-C ends the training with its state
    saved.
    """
    from minicnn import articles

    article = articles.get(name)
    results = Results(out or Path("runs") / name)
    record = results.read_history() if resume else None
    settings = chosen(article, asked, record)
    use_machine(threads, kernels)
    # Only a training that starts, and was not told which pictures to use, may settle for drawn ones.
    may_draw = record is None and asked["dataset"] is None and asked["data"] is None
    Training(article, settings, results, record, may_draw, device).run()


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
        self.recipe = article.recipe(settings.recipe)
        self.settings = settings
        self.results = results
        self.earlier = record
        self.may_draw = may_draw
        self.device = device
        self.ctrl_c = CtrlC()
        self.extractor = self._make_extractor()

    def run(self) -> None:
        """From the data to the results."""
        pictures = self._load()
        click.echo(pictures.describe())
        self.settings = replace(self.settings, dataset=pictures.name)
        self._check_collection(pictures)
        self._adapt(pictures)
        self.results.prepare()
        model = self._resumed() if self.earlier is not None else self._fresh()
        data = self._data(model, pictures)
        if self._lacks_only_the_result(model):
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
                self.results.start_afresh()
                # The steps that were timed have drawn from the seeds: start again from the root.
                model = self._fresh()
            self._describe_use(model, pictures)
            recorder = self._fit(model, data)
        self._finish(model, recorder, data)

    def _lacks_only_the_result(self, model: Sequential) -> bool:
        if self.earlier is None or self.earlier["finished"]:
            return False
        epochs = self.earlier["epochs"][: model.epoch]
        return model.epoch == self.settings.epochs or is_spent(epochs, self.recipe.patience)

    def _make_extractor(self) -> Extractor | None:
        """What makes the features that the network is trained on; None where it takes pictures."""
        from .picture_parts import NAMES

        if self.article.extractor is None:
            return None
        if self.settings.dataset not in NAMES:
            raise ValueError(f"{self.article.name} is for collections of pictures, not for {self.settings.dataset}")
        if self.settings.augment:
            raise ValueError(f"--augment: {self.article.name} is trained on features that are computed once")
        extractor = self.article.extractor()
        extractor.fitting, extractor.interpolation = self.settings.fitting, self.recipe.interpolation
        return extractor

    def _load(self) -> Pictures | PictureParts:
        from . import picture_parts, pictures

        settings = self.settings
        folder = Path(settings.data) if settings.data else None
        if settings.dataset in picture_parts.NAMES:
            size = self.extractor.size if self.extractor else picture_parts.input_size(self.article)
            return picture_parts.load(
                settings.dataset, folder, self.article.classes, picture_parts.wanted(self.recipe), size,
                samples=settings.samples, seed=settings.seed, may_draw=self.may_draw,
            )  # fmt: skip
        return pictures.load(
            settings.dataset, folder, samples=settings.samples, seed=settings.seed, may_draw=self.may_draw
        )

    def _check_collection(self, pictures: Pictures | PictureParts) -> None:
        """Refuse to go on with other pictures, of which some that were held out might be trained on."""
        self.collection = pictures.fingerprint
        before = None if self.earlier is None else self.earlier.get("collection")
        if before is not None and before != self.collection:
            raise ValueError(
                f"{pictures.where}: these are not the pictures that the training to be resumed was begun on"
            )

    def _adapt(self, pictures: Pictures | PictureParts) -> None:
        """Fit the network and the loss to the number of classes, and say so."""
        self.classes = len(pictures.classes)
        if self.classes == len(self.article.classes):
            return
        outputs = self._built().output_shape[-1]
        if self.classes > 2 and self.recipe.loss == "binary_crossentropy":
            self.recipe = replace(self.recipe, loss="categorical_crossentropy")
        click.echo(f"Network: {outputs} outputs instead of {len(self.article.classes)}, loss {self.recipe.loss}")

    def _built(self) -> Sequential:
        from minicnn.articles.adapting import with_classes

        model = self.article.build()
        return model if self.classes == len(self.article.classes) else with_classes(model, self.classes)

    def _fresh(self) -> Sequential:
        """The network with new weights that depend on the seed alone."""
        import minicnn
        from minicnn.layers import reset_names

        minicnn.set_seed(self.settings.seed)
        reset_names()
        return self._compiled(self._built())

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
            if self.extractor is not None:
                # The file holds the network that takes pictures, without the optimizer's state.
                raise ValueError(
                    f"the training in {self.results.folder} is finished; on features that are computed once it takes "
                    "little time to train anew: leave out --resume"
                )
            return load_model(self.results.model).to(self.device)
        click.echo("No epoch was finished before: starting again from the beginning")
        return self._fresh()

    def _data(self, model: Sequential, pictures: Pictures | PictureParts) -> TrainingData:
        from .picture_parts import PictureParts
        from .training_data import ArrayData, AugmentedData, FeatureData, LoaderData

        settings = self.settings
        augmentation = settings.augmentation(self.recipe)
        if not isinstance(pictures, PictureParts):
            if augmentation is None:
                data = ArrayData(pictures, model, self.recipe, settings.batch_size)
                data.settle(self.device)
                return data
            return AugmentedData(
                pictures, model, self.recipe, settings.batch_size, seed=settings.seed, augmentation=augmentation
            )
        if self.extractor is not None:
            return FeatureData(pictures, self.extractor, model, self.recipe, settings.batch_size)
        return LoaderData(
            pictures, model, self.recipe, settings.batch_size, seed=settings.seed, fitting=settings.fitting,
            augmentation=augmentation,
        )  # fmt: skip

    def _announce(self, model: Sequential, data: TrainingData) -> None:
        """Refuse what does not fit into memory; say how long the rest takes."""
        from . import machine
        from .estimate import check_memory, estimate, time_training

        settings = self.settings
        memory = check_memory(model, min(settings.batch_size, data.trained), machine.available_memory())
        memory += data.memory + (machine.resident_memory() or 0)
        epochs = settings.epochs - model.epoch
        if epochs < 1:
            raise ValueError(f"this training has {model.epoch} epochs already: ask for more than that with --epochs")
        click.echo(f"Network: {self.article.name}, recipe {settings.recipe}; timing a few steps first ...")
        step, prediction = time_training(self._fresh, *data.example(), settings.batch_size)
        expected = estimate(
            (step + data.loading, prediction + data.loading),
            pictures=data.trained,
            measured=epochs * data.after_epoch + data.measured,
            batch_size=settings.batch_size,
            epochs=epochs,
            memory=memory,
        )
        plural = "" if epochs == 1 else "s"
        click.echo(f"Expect about {expected} for {epochs} epoch{plural} of {data.in_all:,} pictures")

    def _describe_use(self, model: Sequential, pictures: Pictures | PictureParts) -> None:
        """Let the model's file carry what `evaluate` and `predict` need."""
        from .pictures import preparation
        from .training_data import label_form

        digits = pictures.name in ("mnist", "drawn-digits")
        model.class_names = list(pictures.classes)
        model.preprocessing = {
            "fit": "digit" if digits else "picture",
            "fitting": self.settings.fitting,
            "interpolation": self.recipe.interpolation,
            "input": None if self.extractor else preparation(model, self.recipe.scale).get_config(),
            "labels": label_form(model, self.recipe.loss),
            "dataset": pictures.name,
            "collection": self.collection,
            "division": pictures.division,
        }

    def _fit(self, model: Sequential, data: TrainingData) -> Recorder:
        recorder = self._recorder(model)
        patience = self.recipe.patience
        try:
            model.fit(
                epochs=self.settings.epochs,
                initial_epoch=model.epoch,
                callbacks=[recorder] if patience is None else [recorder, Patience(recorder, patience)],
                verbose=1 if sys.stdout.isatty() else 2,
                **data.arguments(model),
            )
        except (Interrupted, KeyboardInterrupt):
            self._stop(model, recorder)
            raise click.exceptions.Exit(INTERRUPTED) from None
        if recorder.finished < self.settings.epochs:
            click.echo(f"Stopped after epoch {recorder.finished}: {patience} in a row brought no lower validation loss")
        return recorder

    def _recorder(self, model: Sequential) -> Recorder:
        # By pictures that are neither trained nor measured on.
        keeps_best = self.recipe.validation_split > 0 and not self.recipe.validate_on_test
        return Recorder(self.results, self._record(model), self.earlier, model.epoch, self.ctrl_c, keeps_best)

    def _record(self, model: Sequential) -> dict[str, Any]:
        """What ``history.json`` says beside the epochs."""
        import minicnn

        return {
            "article": self.article.name,
            "date": today(),
            "command": self.settings.command(self.article.name, self.results.folder),
            "settings": asdict(self.settings),
            "seed": self.settings.seed,
            "collection": self.collection,
            "parameters": model.count_params(),
            "versions": versions(),
            "computer": computer(),
            "threads": minicnn.get_num_threads(),
            "kernels": minicnn.kernels.current_kernels() if self.device == "cpu" else self.device,
            "reported": [asdict(figure) for figure in self.article.figures],
        }

    def _save(self, model: Sequential) -> None:
        """Write the network that takes pictures."""
        whole: Model = model
        if self.extractor is not None:
            whole = self._compiled(self.extractor.joined(model))
        whole.save(self.results.model)

    def _stop(self, model: Sequential, recorder: Recorder) -> None:
        self._save(model)
        recorder.write()
        click.echo(
            f"\nStopped after {recorder.finished} finished epochs. The network as it is now: {self.results.model}. "
            f"To go on from the last finished epoch: minicnn train {self.article.name} "
            f"--out {shlex.quote(str(self.results.folder))} --resume"
        )

    def _finish(self, model: Sequential, recorder: Recorder, data: TrainingData) -> None:
        """Measure on what is held out, save everything, tell."""
        from .outcome import best_line, comparison, draw, measure_best

        result = data.measure(model)
        self._save(model)
        best = measure_best(recorder, data, self.device)
        recorder.record |= {
            "measured_on": data.part, "best": best, "skipped": [list(item) for item in data.skipped()],
        }  # fmt: skip
        recorder.write(result)
        self.results.forget_unfinished()
        epochs, title = recorder.finished, f"{self.article.name} on {self.settings.dataset}"
        reported = self.article if self.settings.dataset == self.article.dataset else None
        draw(self.results, recorder, result, data.part, reported, epochs, title)
        for line in [*comparison(result, data.part, reported, epochs), *best_line(best, data.part), *data.report()]:
            click.echo(line)
        click.echo(f"Results in {self.results.folder}: {', '.join(self.results.names())}")
