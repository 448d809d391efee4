"""`fit`, `evaluate` and `predict` on loaders of pictures."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import minicnn
from minicnn import layers, optimizers
from minicnn.callbacks import Callback
from minicnn.data.batches.picture_loader import PictureLoader
from minicnn.data.pictures.sources import class_folders
from minicnn.preprocessing.image import ImageDataGenerator

SIZE = (8, 8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Bright pictures and dark ones, twelve of each, and a broken one."""
    random = np.random.default_rng(0)
    for name, level in (("bright", 150), ("dark", 0)):
        (tmp_path / name).mkdir()
        for index in range(12):
            noise = random.integers(level, level + 100, (20, 24, 3)).astype(np.uint8)
            Image.fromarray(noise).save(tmp_path / name / f"{index:02}.png")
    (tmp_path / "bright" / "broken.jpg").write_bytes(b"")
    return tmp_path


def network(loss: str = "categorical_crossentropy", units: int = 2) -> minicnn.Sequential:
    last = layers.Dense(units, "softmax" if units > 1 else "sigmoid")
    model = minicnn.Sequential([minicnn.Input((*SIZE, 3)), layers.Flatten(), last])
    model.compile(optimizers.Adam(0.02), loss, metrics=["accuracy"])
    return model


def running() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("minicnn-loader")]


def test_training_on_changed_pictures(folder):
    generator = ImageDataGenerator(rescale=1 / 255, rotation_range=20, horizontal_flip=True)
    train = generator.flow_from_directory(folder, SIZE, batch_size=5, seed=1, verbose=False)
    plain = ImageDataGenerator(rescale=1 / 255)
    held = plain.flow_from_directory(folder, SIZE, batch_size=5, shuffle=False, verbose=False)
    model = network()
    history = model.fit(train, epochs=12, validation_data=held, verbose=0)
    assert history.history["val_accuracy"][-1] == 1
    assert running() == []
    assert 0 < train.waiting.share < 1
    assert [skipped.name for skipped in held.skipped] == ["bright/broken.jpg"]
    loss, accuracy = model.evaluate(held, verbose=0)
    assert (loss, accuracy) == (history.history["val_loss"][-1], 1)
    predicted = model.predict(held).argmax(axis=1)
    assert len(predicted) == len(held.filenames) == 24
    np.testing.assert_array_equal(predicted, held.classes)


def test_the_number_of_workers_does_not_change_a_training(folder):
    def weights(workers):
        minicnn.set_seed(3)
        generator = ImageDataGenerator(rescale=1 / 255, zoom_range=0.3, shear_range=20)
        train = generator.flow_from_directory(folder, SIZE, batch_size=4, verbose=False, workers=workers)
        model = network()
        model.fit(train, epochs=3, verbose=0)
        return model.get_weights()

    for one, several in zip(weights(1), weights(5), strict=True):
        np.testing.assert_array_equal(one, several)


@pytest.mark.parametrize("class_mode", ["sparse", "categorical", "binary"])
def test_labels_are_what_their_losses_take(folder, class_mode):
    loader = PictureLoader(class_folders(folder), SIZE, 8, class_mode, seed=0, verbose=False)
    if class_mode == "binary":
        model = network("binary_crossentropy", 1)
    else:
        model = network("sparse_categorical_crossentropy" if class_mode == "sparse" else "categorical_crossentropy")
    assert np.isfinite(model.fit(loader, verbose=0).history["loss"]).all()


def test_steps_and_validation_steps(folder):
    seen: list[float] = []

    class Noted(PictureLoader):
        def _batch(self, indices, x):
            seen.extend(indices)
            return super()._batch(indices, x)

    train = PictureLoader(class_folders(folder), SIZE, 5, "categorical", seed=1, verbose=False)
    held = Noted(class_folders(folder), SIZE, 5, "categorical", shuffle=False, verbose=False, workers=0)
    history = network().fit(
        train, epochs=2, steps_per_epoch=3, validation_data=held, validation_steps=2, verbose=0, shuffle=False
    )
    assert len(history.history["loss"]) == 2
    assert train.epoch == 1, "six of five batches were taken"
    assert seen == [*range(10)] * 2, "each validation begins with the first picture"
    assert network().predict(held, steps=1).shape == (5, 2)
    with pytest.warns(UserWarning, match="predict.*batches ran out: 9 are wanted, but only 5 came"):
        assert network().predict(held, steps=9).shape == (24, 2)


class Stop(Callback):
    def __init__(self, how: str) -> None:
        self.how = how

    def on_train_batch_end(self, batch, logs=None):
        if self.how == "stop_training":
            self.model.stop_training = True
        elif batch == 1:
            raise KeyboardInterrupt


@pytest.mark.parametrize("how", ["stop_training", "Ctrl-C"])
def test_leaving_early_ends_the_threads(folder, how):
    train = PictureLoader(class_folders(folder), SIZE, 2, "categorical", workers=3, verbose=False)
    if how == "Ctrl-C":
        with pytest.raises(KeyboardInterrupt) as interrupted:
            network().fit(train, verbose=0, callbacks=[Stop(how)])
        # Also while somebody holds on to the error, and with it to the frames that it went through.
        assert interrupted.tb is not None
    else:
        network().fit(train, verbose=0, callbacks=[Stop(how)])
    assert running() == []


def test_what_fails_in_a_worker_ends_the_training(folder):
    def broken(x):
        raise ZeroDivisionError("no light")

    train = ImageDataGenerator(preprocessing_function=broken).flow_from_directory(folder, SIZE, verbose=False)
    with pytest.raises(RuntimeError, match=r"\.png: ZeroDivisionError: no light"):
        network().fit(train, verbose=0)
    assert running() == []
