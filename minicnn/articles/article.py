"""What the registry holds: an article's network, the ways it was trained, and the figures it reported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from minicnn.errors import unknown_name

if TYPE_CHECKING:
    from minicnn.applications.bottleneck import Extractor
    from minicnn.models import Sequential
    from minicnn.optimizers import Optimizer


@dataclass(frozen=True)
class Figure:
    """A number that the article reports.

    Attributes:
        measure: what was measured: "test accuracy", "test loss", "validation accuracy", "training accuracy".
        value: the number; accuracies lie in 0..1.
        epochs: after how many epochs it was measured; None where the article does not say.
        note: what a reader must know before comparing, or "".
    """

    measure: str
    value: float
    epochs: int | None
    note: str = ""

    @property
    def when(self) -> str:
        """ "after 1 epoch", "after 6 epochs", or that the article does not say."""
        if self.epochs is None:
            return "after a number of epochs that is not given"
        return f"after {self.epochs} epoch{'' if self.epochs == 1 else 's'}"


@dataclass(frozen=True)
class Recipe:
    """One way to train the network; pictures come in as 0..255 and are multiplied by `scale`.

    Attributes:
        optimizer: makes a fresh optimiser.
        batch_size: pictures a step.
        epochs: how long the article trained.
        loss: the loss by its name; a categorical loss takes one-hot labels, a sparse one integers.
        metrics: what else is measured.
        scale: factor applied to the pixels.
        validation_split: share of the training pictures, the last ones, that is held out; 0 for none.
        validate_on_test: measure the test set after each epoch, as articles without a split of their own do.
        measured_scale: factor for the pixels that are only measured on, validation and test; None for `scale`.
        shuffle: draw a new order for every epoch.
        clip_probabilities: compute cross-entropies from probabilities clipped at 1e-7, as the articles' Keras does.
        training_samples, validation_samples: take the first so many pictures to train on and the last so many to
            validate on, evenly of all classes; None for all.
        augmentation: how pictures to train on are distorted, anew in every epoch: arguments of `ImageDataGenerator`;
            None leaves them as they are.
        interpolation: how collections of pictures are brought to the network's size, see `PictureLoader`.
        patience: end the training after so many epochs in a row without a lower validation loss; None never does.
        note: where the recipe comes from and what in it is our reading.
    """

    optimizer: Callable[[], Optimizer]
    batch_size: int
    epochs: int
    loss: str
    metrics: tuple[str, ...] = ("accuracy",)
    scale: float = 1 / 255
    validation_split: float = 0.0
    validate_on_test: bool = False
    measured_scale: float | None = None
    shuffle: bool = True
    clip_probabilities: bool = False
    training_samples: int | None = None
    validation_samples: int | None = None
    augmentation: Mapping[str, float | bool] | None = None
    interpolation: str = "bilinear"
    patience: int | None = None
    note: str = ""

    @property
    def labels(self) -> Literal["integer", "one-hot"]:
        """The form of labels that the loss takes, where the network has an output for each class."""
        return "integer" if self.loss.startswith("sparse_") else "one-hot"


@dataclass(frozen=True)
class Article:
    """A network known by name.

    Attributes:
        name: how the command line calls it.
        index: the rows of the articles' index that it rebuilds, such as "A1": letters stand for the articles (A Strika,
            B FreeOfConfines, C Eastmount, D Le Khuyen, E Besbes), numbers for their networks in order.
        title: one line for lists.
        source: author, subject, year.
        dataset: the data that the article uses: "mnist", "fashion-mnist", "dogs-vs-cats" or "imagenet"; None where the
            network only illustrates something.
        classes: the class names in the order of their numbers, which are the network's outputs where there are several.
        positive_class: of two classes the one numbered 1, whose probability a single output gives, and the second of
            two outputs; None where there are more classes, or none.
        build: makes the network, not compiled, with fresh weights.
        parameters: how many weights it has, as the article counts them; an extractor's are not among them.
        recipes: by name; the first is the default. None at all where there is nothing to train.
        figures: what the article reports for its default recipe.
        extractor: makes what turns pictures into the features that the network is trained on, a trained network, which
            raises DataError where its weights are not on this machine; None for networks that take pictures.
        note: what is our reading of the article.
    """

    name: str
    title: str
    source: str
    dataset: str | None
    classes: tuple[str, ...]
    build: Callable[[], Sequential]
    parameters: int
    recipes: Mapping[str, Recipe]
    figures: tuple[Figure, ...] = ()
    index: tuple[str, ...] = ()
    positive_class: str | None = None
    extractor: Callable[[], Extractor] | None = None
    note: str = ""

    @property
    def default_recipe(self) -> str:
        """The name of the recipe that is used where none is asked for; ValueError if there is no recipe."""
        if not self.recipes:
            raise ValueError(f"{self.name} is there to be looked at, not to be trained: it has no recipe")
        return next(iter(self.recipes))

    def recipe(self, name: str | None = None) -> Recipe:
        """The recipe of that name, or the default one; ValueError suggests the nearest."""
        key = self.default_recipe if name is None else name
        if key not in self.recipes:
            raise ValueError(f"{self.name}: {unknown_name('recipe', key, self.recipes)}")
        return self.recipes[key]

    def figure(self, measure: str, epochs: int) -> Figure | None:
        """The reported figure of that measure whose number of epochs is nearest to `epochs`, or None."""
        figures = [figure for figure in self.figures if figure.measure == measure]
        return min(figures, key=lambda figure: abs((figure.epochs or epochs) - epochs), default=None)
