"""Transfer learning in two steps: what a trained network makes of each picture is computed once and kept, and a small
network is trained on that, in seconds (Donahue et al. 2014, "DeCAF: a deep convolutional activation feature for generic
visual recognition").

    from minicnn.applications import SqueezeNet, bottleneck, squeezenet

    extractor = bottleneck.Extractor(
        SqueezeNet(include_top=False, pooling="avg"), (227, 227), squeezenet.PREPROCESSING
    )
    parts = dogs_vs_cats.load()
    train, validation = extractor.features(parts.train), extractor.features(parts.validation)
    head.fit(train.x, train.y, validation_data=(validation.x, validation.y))
    extractor.joined(head).save("pets.minicnn")                # takes pictures, as `minicnn predict` does
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minicnn.applications.feature_store import KEY_BYTES, FeatureStore
from minicnn.data.batches.picture_loader import PictureLoader
from minicnn.data.errors import DataError, PictureError
from minicnn.data.pictures.fitting import checked_size
from minicnn.data.pictures.preprocessing import Preprocessing
from minicnn.data.pictures.sources import PictureSource, Skipped
from minicnn.data.sets.cache import cache_folder
from minicnn.layers import Input
from minicnn.models import Model, Sequential
from minicnn.models.serialization import serialize_layer
from minicnn.progress import ProgressLine

Preprocess = Callable[[NDArray[np.float32]], NDArray[Any]]

# What says nothing of what a layer computes: names count all layers ever made.
_IRRELEVANT = ("name", "input_name", "trainable")


class Features(NamedTuple):
    """What a network made of pictures.

    Attributes:
        x: (N, ...) float32, a row for each picture that could be read.
        y: (N,) int32, the pictures' class numbers; None where they have none.
        names: what the pictures are called.
        unread: what could not be read, with the reasons; the source's own ``skipped`` is not among it.
    """

    x: NDArray[np.float32]
    y: NDArray[np.int32] | None
    names: list[str]
    unread: list[Skipped]


class Extractor:
    """A trained network that turns pictures into features, and remembers them.

    What is kept belongs to the network's layers and weights, to the preprocessing (known by what it makes of a probe)
    and to how pictures are fitted: other ones have files of their own. A row is found by the content of its picture,
    whatever that is called and whichever data set it is in. So nothing is computed twice, an interrupted computation
    goes on where it stopped, and a picture that has changed is computed anew.

    Args:
        model: of one input and one output, which is the features.
        size: (height, width) that pictures are brought to.
        preprocess: turns a batch of RGB pictures (n, H, W, 3), float32 of 0 to 255, into the network's input: a
            `Preprocessing`, or any function; None leaves them as they are.
        fitting, interpolation: see `PictureLoader`.

    Raises:
        ValueError: `size` is none, the model has several outputs, or its features have no known shape for pictures of
            this size.
    """

    def __init__(
        self,
        model: Model,
        size: tuple[int, int],
        preprocess: Preprocess | None = None,
        *,
        fitting: str = "squeeze",
        interpolation: str = "bilinear",
    ) -> None:
        self.model = model
        self.size = checked_size(size)
        self.preprocess = preprocess or _as_they_are
        self.fitting = fitting
        self.interpolation = interpolation
        shape = model.compute_output_shape((None, *self._probed().shape[1:]))
        if isinstance(shape, list) or None in shape[1:]:
            raise ValueError(
                f"Extractor: {model.describe()} must give one array of features of a known shape for pictures of "
                f"{self.size[0]}x{self.size[1]} pixels, but its outputs have the shape {shape}"
            )
        self.shape: tuple[int, ...] = tuple(shape[1:])

    def fingerprint(self) -> str:
        """64 hexadecimal digits that are the same for extractors that compute the same."""
        said = {
            "network": self._network(),
            "size": self.size,
            "fitting": self.fitting,
            "interpolation": self.interpolation,
        }
        digest = hashlib.sha256(json.dumps(said, sort_keys=True, default=repr).encode())
        for array in (self._probed(), *(weight.numpy() for weight in self.model.weights)):
            digest.update(f"{array.dtype}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def features(
        self,
        source: PictureSource,
        folder: str | os.PathLike[str] | None = None,
        *,
        batch_size: int = 32,
        workers: int | None = None,
        verbose: bool = True,
    ) -> Features:
        """Give the features of all pictures of a source, computing those that are not kept yet.

        Memory holds a few batches of pictures, and the features.

        Args:
            source: the pictures.
            folder: where features are kept; None is the folder ``features`` of the cache.
            batch_size: pictures that go through the network at once.
            workers: threads that open pictures, see `PictureLoader`.
            verbose: show how far it is.

        Raises:
            DataError: no picture can be read, or the file of features holds something else.
            ValueError: a picture's features are not finite.
        """
        keys, unread = _keys(source)
        store = self._store(Path(folder) if folder is not None else cache_folder() / "features")
        new = {key: index for index, key in keys.items() if key not in store}
        reasons = self._compute(store, source, list(new.items()), batch_size, workers, verbose) if new else {}
        unread += [Skipped(source.names[index], reasons[key]) for index, key in keys.items() if key in reasons]
        kept = [index for index, key in keys.items() if key in store]
        if not kept:
            reason = f"; the first is {unread[0].name}: {unread[0].reason}" if unread else ""
            raise DataError(f"Extractor: there are no features: none of {len(source):,} pictures can be read{reason}")
        labels = None if source.labels is None else source.labels[kept]
        names = [source.names[index] for index in kept]
        return Features(store.read([keys[index] for index in kept]), labels, names, unread)

    def joined(self, head: Model) -> Sequential:
        """Give the whole network, from pictures to what `head` makes of their features; both keep their weights.

        It shares its layers with both. Where the preprocessing is a `Preprocessing`, files of the network carry it.

        Raises:
            ValueError: the head was built for features of another shape.
        """
        shape = self._probed().shape[1:]
        whole = Sequential([Input(shape), self.model, *head.layers], name=head.name)
        whole.class_names, whole.epoch = head.class_names, head.epoch
        if isinstance(self.preprocess, Preprocessing):
            config = {**self.preprocess.get_config(), "shape": list(shape)}
            seen = {
                "fit": "picture", "fitting": self.fitting, "interpolation": self.interpolation, "input": config
            }  # fmt: skip
            whole.preprocessing = {**(head.preprocessing or {}), **seen}
        return whole

    def _store(self, folder: Path) -> FeatureStore:
        fingerprint = self.fingerprint()
        about = {"format": "minicnn features", "fingerprint": fingerprint, "size": self.size}
        return FeatureStore(folder / f"{fingerprint[:16]}.features", about, self.shape)

    def _compute(
        self,
        store: FeatureStore,
        source: PictureSource,
        wanted: Sequence[tuple[bytes, int]],
        batch_size: int,
        workers: int | None,
        verbose: bool,
    ) -> dict[bytes, str]:
        """Compute and keep the features of some pictures of a source, and say why those that could not be read cannot.

        Args:
            store: where to keep them.
            source, batch_size, workers, verbose: see `features`.
            wanted: the key and the place of each picture.
        """
        part = source.subset([index for _, index in wanted])
        part.skipped = []
        # With its place as its class, each picture that arrives says which one it is.
        numbered = part.labelled(np.arange(len(part)), part.names)
        loader = PictureLoader(
            numbered,
            self.size,
            batch_size,
            "sparse",
            shuffle=False,
            fitting=self.fitting,
            interpolation=self.interpolation,
            workers=workers,
            verbose=False,
        )
        line = ProgressLine(len(loader), prefix=f"features of {len(part):,} pictures") if verbose else None
        # A source in which nothing can be read is for the caller to judge: others may have been computed before.
        with suppress(DataError), closing(loader.stream()) as batches:
            for step, (x, places) in enumerate(batches, 1):
                chosen = places.astype(np.intp)
                rows = np.asarray(self.model.predict_on_batch(self.preprocess(x)))
                self._check_finite(rows, [part.names[place] for place in chosen])
                store.append([wanted[place][0] for place in chosen], rows)
                if line is not None:
                    line.update(step, {})
        if line is not None:
            line.finish(len(loader), {})
        key_of = dict(zip(part.names, (key for key, _ in wanted), strict=True))
        return {key_of[item.name]: item.reason for item in loader.skipped}

    def _check_finite(self, rows: NDArray[Any], names: Sequence[str]) -> None:
        finite = np.isfinite(rows.reshape(len(rows), -1)).all(axis=1)
        if not finite.all():
            raise ValueError(
                f"Extractor: {self.model.describe()} gives {names[int(finite.argmin())]} features that are not finite"
            )

    def _network(self) -> Any:
        """What the model computes, but for its weights."""
        try:
            return _anonymous(serialize_layer(self.model))
        except (NotImplementedError, ValueError):
            # What a class or a function of the user's own computes is known by what it makes of a probe.
            return np.asarray(self.model.predict_on_batch(self._probed())).tolist()

    def _probed(self) -> NDArray[Any]:
        """What the preprocessing makes of two pictures that any change of it would show on."""
        probe = np.random.default_rng(0).integers(0, 256, (2, *self.size, 3)).astype(np.float32)
        return np.asarray(self.preprocess(probe))


def _as_they_are(x: NDArray[np.float32]) -> NDArray[np.float32]:
    return x


def _anonymous(config: Any) -> Any:
    """A configuration without what does not change the result."""
    if isinstance(config, dict):
        return {key: _anonymous(value) for key, value in config.items() if key not in _IRRELEVANT}
    return [_anonymous(value) for value in config] if isinstance(config, (list, tuple)) else config


def _keys(source: PictureSource) -> tuple[dict[int, bytes], list[Skipped]]:
    """A key for the content of each picture, by its place; and the files without content."""
    keys: dict[int, bytes] = {}
    skipped: list[Skipped] = []
    for index, name in enumerate(source.names):
        try:
            data = _content(source, index)
        except PictureError as error:
            skipped.append(Skipped.because(name, error))
        except OSError as error:
            skipped.append(Skipped(name, f"cannot be read: {error.strerror or error}"))
        else:
            keys[index] = hashlib.blake2b(data, digest_size=KEY_BYTES).digest()
    return keys, skipped


def _content(source: PictureSource, index: int) -> bytes:
    """The bytes of a picture, as they lie in its file where it has one."""
    try:
        content = source.content(index)
    except NotImplementedError:
        image = source.open(index)
        return f"{image.mode}{image.size}".encode() + image.tobytes()
    return content.read_bytes() if isinstance(content, Path) else content.read()
