"""What a training is given, and what it is measured on: arrays in memory, or pictures opened as they are needed."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from minicnn.device import free_memory, place

from .pictures import as_labels, preparation

if TYPE_CHECKING:
    from minicnn.applications.bottleneck import Extractor
    from minicnn.articles import Recipe
    from minicnn.data.batches.batch_iterator import BatchIterator
    from minicnn.data.pictures.sources import Skipped
    from minicnn.models import Model

    from .picture_parts import PictureParts
    from .pictures import Pictures


# How much of a GPU's free memory pictures may take for good.
SHARE_OF_GPU = 0.25


class TrainingData(Protocol):
    """What `minicnn train` needs to know of its data.

    Attributes:
        part: what the final result is measured on, "test" or "validation".
        trained: pictures in an epoch.
        in_all: those and what is validated on, where both come from the training pictures.
        after_epoch: pictures measured after each epoch.
        measured: pictures measured at the end.
        memory: bytes taken beside the model, as far as they are not taken yet.
        loading: seconds to make a batch ready.
    """

    part: str
    trained: int
    in_all: int
    after_epoch: int
    measured: int
    memory: int
    loading: float

    def example(self) -> tuple[np.ndarray, np.ndarray]:
        """A batch to train on."""
        ...

    def arguments(self, model: Model) -> dict[str, Any]:
        """What `fit` is called with to go on after the model's last epoch."""
        ...

    def measure(self, model: Model) -> dict[str, float]:
        """The loss and the metrics on what is held out."""
        ...

    def predictions(self, model: Model) -> tuple[np.ndarray, np.ndarray]:
        """Class numbers (N,) of what is held out, and the model's outputs for it (N, units)."""
        ...

    def report(self) -> list[str]:
        """Lines for the end: how long the training waited for pictures, what was skipped."""
        ...

    def skipped(self) -> list[Skipped]:
        """Files that were not used, and why."""
        ...


class ArrayData:
    """Pictures in memory.

    Args:
        pictures: what was loaded.
        model: that is to be trained.
        recipe: how.
        batch_size: pictures a step.
    """

    part = "test"
    memory = 0
    loading = 0.0

    def __init__(self, pictures: Pictures, model: Model, recipe: Recipe, batch_size: int) -> None:
        form, classes = label_form(model, recipe.loss), len(pictures.classes)
        self.recipe = recipe
        self.batch_size = batch_size
        self.x_train = preparation(model, recipe.scale)(pictures.x_train)
        self.y_train = as_labels(pictures.y_train, form, classes)
        self.x_test = preparation(model, measured_scale(recipe))(pictures.x_test)
        self.labels = pictures.y_test
        self.y_test = as_labels(pictures.y_test, form, classes)
        held_out = int(len(self.x_train) * recipe.validation_split)
        self.in_all = len(self.x_train)
        self.trained = self.in_all - held_out
        self.measured = len(self.x_test)
        self.after_epoch = self.measured if recipe.validate_on_test else held_out

    def settle(self, device: str) -> None:
        """Bring all pictures to a GPU, where they take little of its memory: a step then copies none."""
        arrays = self.x_train, self.y_train, self.x_test, self.y_test
        if device == "cuda" and sum(array.nbytes for array in arrays) <= SHARE_OF_GPU * free_memory():
            self.x_train, self.y_train, self.x_test, self.y_test = (place(array, device) for array in arrays)

    def example(self) -> tuple[np.ndarray, np.ndarray]:
        """A batch to train on."""
        return self.x_train[: self.batch_size], self.y_train[: self.batch_size]

    def arguments(self, model: Model) -> dict[str, Any]:
        """What `fit` is called with."""
        validation: dict[str, Any] = {}
        if self.recipe.validate_on_test:
            validation["validation_data"] = (self.x_test, self.y_test)
        elif self.recipe.validation_split:
            validation["validation_split"] = self.recipe.validation_split
        shuffle, size = self.recipe.shuffle, self.batch_size
        return {"x": self.x_train, "y": self.y_train, "batch_size": size, "shuffle": shuffle, **validation}

    def measure(self, model: Model) -> dict[str, float]:
        """The loss and the metrics on the test pictures."""
        return model.evaluate(self.x_test, self.y_test, batch_size=self.batch_size, verbose=0, return_dict=True)

    def predictions(self, model: Model) -> tuple[np.ndarray, np.ndarray]:
        """Class numbers and outputs for the test pictures."""
        return self.labels, model.predict(self.x_test, batch_size=self.batch_size)

    def report(self) -> list[str]:
        """Nothing to tell: all of it was there."""
        return []

    def skipped(self) -> list[Skipped]:
        """None: data sets of arrays are whole."""
        return []


class AugmentedData(ArrayData):
    """Pictures in memory, distorted anew for every epoch.

    Args:
        pictures: what was loaded.
        model: that is to be trained.
        recipe: how.
        batch_size: pictures a step.
        seed: of the order and the distortions.
        augmentation: arguments of `ImageDataGenerator`.
    """

    def __init__(
        self,
        pictures: Pictures,
        model: Model,
        recipe: Recipe,
        batch_size: int,
        *,
        seed: int,
        augmentation: Mapping[str, Any],
    ) -> None:
        from minicnn.preprocessing.image import ImageDataGenerator

        super().__init__(pictures, model, recipe, batch_size)
        layout = preparation(model, recipe.scale).layout
        self._make = functools.partial(
            ImageDataGenerator(**augmentation, data_format=layout).flow, self.x_train[: self.trained],
            self.y_train[: self.trained], batch_size, shuffle=recipe.shuffle, seed=seed,
        )  # fmt: skip
        self.training = self._make()
        self.memory = self.training.prefetch_bytes

    def example(self) -> tuple[np.ndarray, np.ndarray]:
        """A batch to train on; how long another takes is noted."""
        batch, self.loading = timed_batch(self._make())
        return batch

    def arguments(self, model: Model) -> dict[str, Any]:
        """What `fit` is called with; order and distortions are those of the model's next epoch."""
        self.training.epoch = model.epoch
        validation: dict[str, Any] = {}
        if self.recipe.validate_on_test:
            validation["validation_data"] = (self.x_test, self.y_test)
        elif self.after_epoch:
            validation["validation_data"] = (self.x_train[self.trained :], self.y_train[self.trained :])
        return {"x": self.training, **validation}

    def report(self) -> list[str]:
        """How long the training waited for pictures."""
        return waiting_lines(self.training)


class FeatureData(ArrayData):
    """What a trained network makes of pictures, computed once and kept.

    Args:
        parts: what was listed.
        extractor: makes the features.
        model: that is to be trained on them.
        recipe: how.
        batch_size: pictures a step.
    """

    part = "validation"

    def __init__(
        self, parts: PictureParts, extractor: Extractor, model: Model, recipe: Recipe, batch_size: int
    ) -> None:
        train, held = (extractor.features(source, batch_size=batch_size) for source in (parts.train, parts.held))
        form, classes = label_form(model, recipe.loss), len(parts.classes)
        self.recipe = recipe
        self.batch_size = batch_size
        self.x_train, self.x_test = train.x, held.x
        self.labels = np.asarray(held.y)
        self.y_train, self.y_test = (as_labels(np.asarray(part.y), form, classes) for part in (train, held))
        self.trained = self.in_all = len(train.x)
        self.measured = self.after_epoch = len(held.x)
        self._skipped = [*parts.train.skipped, *train.unread, *held.unread]

    def arguments(self, model: Model) -> dict[str, Any]:
        """What `fit` is called with."""
        held_out = (self.x_test, self.y_test)
        return {
            "x": self.x_train,
            "y": self.y_train,
            "batch_size": self.batch_size,
            "shuffle": self.recipe.shuffle,
            "validation_data": held_out,
        }

    def report(self) -> list[str]:
        """What was skipped."""
        from .loading import skipped_lines

        return skipped_lines(self.skipped())

    def skipped(self) -> list[Skipped]:
        """What is no picture or of no class, and what could not be read."""
        return self._skipped


class LoaderData:
    """Pictures opened as they are needed, distorted where the recipe says so.

    Args:
        parts: what was listed.
        model: that is to be trained.
        recipe: how.
        batch_size: pictures a step.
        seed: of the order and the distortions.
        fitting: how pictures come to the network's size, "squeeze", "crop" or "pad".
        augmentation: arguments of `ImageDataGenerator`, or None.
    """

    part = "validation"

    def __init__(
        self,
        parts: PictureParts,
        model: Model,
        recipe: Recipe,
        batch_size: int,
        *,
        seed: int,
        fitting: str,
        augmentation: Mapping[str, Any] | None,
    ) -> None:
        from .loading import Resizing, loader

        form = label_form(model, recipe.loss)
        train, held = preparation(model, recipe.scale), preparation(model, measured_scale(recipe))
        resizing = Resizing(fitting, recipe.interpolation)
        self._make = functools.partial(
            loader, parts.train, train, resizing, form, batch_size=batch_size, shuffle=recipe.shuffle, seed=seed,
            augmentation=augmentation,
        )  # fmt: skip
        self.training = self._make()
        self.held = loader(parts.held, held, resizing, form, batch_size=batch_size)
        self.trained = self.in_all = len(parts.train)
        self.measured = self.after_epoch = len(parts.held)
        self.memory = self.training.prefetch_bytes + self.held.prefetch_bytes

    def example(self) -> tuple[np.ndarray, np.ndarray]:
        """A batch to train on; how long another takes is noted."""
        batch, self.loading = timed_batch(self._make())
        return batch

    def arguments(self, model: Model) -> dict[str, Any]:
        """What `fit` is called with; order and distortions are those of the model's next epoch."""
        self.training.epoch = model.epoch
        return {"x": self.training, "validation_data": self.held}

    def measure(self, model: Model) -> dict[str, float]:
        """The loss and the metrics on what is held out."""
        return model.evaluate(self.held, verbose=0, return_dict=True)

    def predictions(self, model: Model) -> tuple[np.ndarray, np.ndarray]:
        """Class numbers and outputs for what is held out, as far as it can be read."""
        outputs = model.predict(self.held)
        return np.asarray(self.held.classes), outputs

    def report(self) -> list[str]:
        """How long the training waited for pictures, what was skipped."""
        from .loading import skipped_lines

        return [*waiting_lines(self.training), *skipped_lines(self.skipped())]

    def skipped(self) -> list[Skipped]:
        """What is no picture or of no class, and what could not be read."""
        found = self.training.source.skipped
        return [*found, *self.training.skipped[len(found) :], *self.held.skipped[len(self.held.source.skipped) :]]


def label_form(model: Model, loss: str) -> str:
    """The form of labels that a loss takes: "integer", or "one-hot" where there is an output for each class."""
    return "integer" if loss.startswith("sparse_") or model.output_shape[-1] == 1 else "one-hot"


def measured_scale(recipe: Recipe) -> float:
    """The factor for pixels that are only measured on."""
    return recipe.scale if recipe.measured_scale is None else recipe.measured_scale


def timed_batch(made: BatchIterator) -> tuple[tuple[np.ndarray, np.ndarray], float]:
    """A batch of pictures that can be read, and the seconds for another, when all is compiled or imported."""
    batch = _trial_batch(made)
    start = time.perf_counter()
    _trial_batch(made)
    return batch, time.perf_counter() - start


def waiting_lines(training: BatchIterator) -> list[str]:
    """How long the training waited for its pictures, if any were taken."""
    waiting = training.waiting
    return [f"Waiting for pictures took {waiting.share:.1%} of the training time"] if waiting.total else []


def _trial_batch(made: BatchIterator) -> tuple[np.ndarray, np.ndarray]:
    with closing(made.stream(1)) as batches:
        return next(batches)
