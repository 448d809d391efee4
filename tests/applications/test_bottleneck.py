"""Features: computed once, kept whatever happens, and never mixed up."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from minicnn import Input, Model, Sequential, datasets, load_model
from minicnn.applications import SqueezeNet, bottleneck, squeezenet
from minicnn.applications.feature_store import FeatureStore
from minicnn.applications.files import find_file
from minicnn.data.pictures.sources import PictureFiles
from minicnn.datasets import DataError
from minicnn.layers import Conv2D, Dense, Dropout, Flatten, GlobalAveragePooling2D, Lambda
from minicnn.preprocessing import Preprocessing, fit_picture
from tests import real_data


class Counting:
    """A preprocessing that scales, counts the pictures it sees, and may stop everything at one of them."""

    def __init__(self, factor=1 / 255, stop_after=None):
        self.factor, self.stop_after, self.seen = factor, stop_after, 0

    def __call__(self, x):
        # The pictures here have few colours; the probe that fingerprints are made of has many.
        if len(np.unique(x)) < 50:
            self.seen += len(x)
            if self.stop_after is not None and self.seen > self.stop_after:
                raise KeyboardInterrupt
        return x * np.float32(self.factor)


def network(kernel=1.0):
    """Features that can be computed by hand: the mean of each channel."""
    model = Sequential([Input((None, None, 3)), Conv2D(3, 1, use_bias=False), GlobalAveragePooling2D()])
    model.set_weights([kernel * np.eye(3).reshape(1, 1, 3, 3)])
    return model


@pytest.fixture
def folder(tmp_path):
    """Ten pictures of one colour each, of two sizes."""
    for number in range(10):
        size = (8, 8) if number % 2 else (12, 6)
        Image.new("RGB", size, (number * 20, 255 - number * 20, 7)).save(tmp_path / f"{number}.png")
    return tmp_path


def pictures(folder):
    source = PictureFiles.listed(folder)
    return source.labelled([int(name[0]) % 2 for name in source.names], ("even", "odd"))


def extracted(preprocess, folder, model=None, **options):
    extractor = bottleneck.Extractor(model or network(), (8, 8), preprocess, **options)
    kept = folder.parent / f"{folder.name}-features"
    return extractor.features(pictures(folder), kept, batch_size=3, verbose=False)


def colours(numbers):
    return np.array([(n * 20, 255 - n * 20, 7) for n in numbers]) / 255


def test_features_are_what_the_model_predicts(folder):
    found = extracted(Counting(), folder)
    np.testing.assert_allclose(found.x, colours(range(10)), atol=1e-6)
    assert found.x.dtype == np.float32
    assert found.y.tolist() == [0, 1] * 5
    assert found.names == [f"{n}.png" for n in range(10)]
    assert found.unread == []


def test_nothing_is_computed_twice(folder):
    first, second = Counting(), Counting()
    one, two = extracted(first, folder), extracted(second, folder)
    assert (first.seen, second.seen) == (10, 0)
    np.testing.assert_array_equal(one.x, two.x)


def test_other_names_for_layers_and_freezing_them_change_nothing(folder):
    extracted(Counting(), folder)
    count = Counting()
    model = network()
    model.trainable = False
    extracted(count, folder, model)
    assert count.seen == 0


def test_a_picture_that_changes_or_joins_is_computed_and_one_that_moves_is_not(folder):
    extracted(Counting(), folder)
    Image.new("RGB", (8, 8), (255, 255, 255)).save(folder / "3.png")
    (folder / "5.png").rename(folder / "9_five.png")
    Image.new("RGB", (8, 8), (0, 0, 0)).save(folder / "8_new.png")
    count = Counting()
    found = extracted(count, folder)
    assert count.seen == 2
    assert [name.removesuffix(".png") for name in found.names] == [*"0123467", "8", "8_new", "9", "9_five"]
    expected = colours([0, 1, 2, 0, 4, 6, 7, 8, 0, 9, 5])
    expected[3], expected[8] = 1, 0
    np.testing.assert_allclose(found.x, expected, atol=1e-6)


@pytest.mark.parametrize(
    "other",
    [
        lambda: {"model": network(2.0)},
        lambda: {"model": Sequential([Input((None, None, 3)), GlobalAveragePooling2D()])},
        lambda: {"preprocess": Counting(1 / 128)},
        lambda: {"fitting": "pad"},
        lambda: {"interpolation": "nearest"},
    ],
    ids=["weights", "layers", "preprocessing", "fitting", "interpolation"],
)
def test_what_was_computed_otherwise_is_not_taken(folder, other):
    extracted(Counting(), folder)
    arguments = {"preprocess": Counting(), **other()}
    count = arguments["preprocess"]
    extracted(folder=folder, **arguments)
    assert count.seen == 10
    again = Counting()
    extracted(again, folder)
    assert again.seen == 0


@pytest.mark.parametrize("factor", [2.0, 3.0])
def test_functions_of_ones_own_are_told_apart(folder, factor):
    extracted(Counting(), folder, Sequential([Input((None, None, 3)), GlobalAveragePooling2D(), Lambda(lambda x: x)]))
    own = Sequential([Input((None, None, 3)), GlobalAveragePooling2D(), Lambda(lambda x: x * factor)])
    np.testing.assert_allclose(extracted(Counting(), folder, own).x, factor * colours(range(10)), atol=1e-5)
    extracted(count := Counting(), folder, own)
    assert count.seen == 0


def test_an_interrupted_computation_goes_on(folder):
    with pytest.raises(KeyboardInterrupt):
        extracted(Counting(stop_after=6), folder)
    count = Counting()
    found = extracted(count, folder)
    assert count.seen == 4
    np.testing.assert_allclose(found.x, colours(range(10)), atol=1e-6)


@pytest.mark.parametrize("cut", [1, 17, 30])
def test_a_file_that_was_cut_short_or_damaged_is_completed(folder, cut):
    extracted(Counting(), folder)
    (path,) = (folder.parent / f"{folder.name}-features").iterdir()
    content = bytearray(path.read_bytes())
    del content[-cut:]
    # A row in the middle, too.
    content[4096 + 32 + 25] ^= 1
    path.write_bytes(bytes(content))
    count = Counting()
    found = extracted(count, folder)
    assert count.seen == 2
    np.testing.assert_allclose(found.x, colours(range(10)), atol=1e-6)
    extracted(again := Counting(), folder)
    assert again.seen == 0


def test_a_file_of_something_else_is_refused(folder):
    extracted(Counting(), folder)
    (path,) = (folder.parent / f"{folder.name}-features").iterdir()
    path.write_bytes(b"something else")
    with pytest.raises(DataError, match="not a file of these features, or damaged: delete it, and it is made again"):
        extracted(Counting(), folder)
    assert path.read_bytes() == b"something else"


def test_what_cannot_be_read_is_skipped_and_told(folder):
    (folder / "4.png").write_bytes(b"no picture")
    (folder / "5.png").write_bytes(b"")
    (folder / "8.png").write_bytes(b"no picture")
    for _ in range(2):
        found = extracted(Counting(), folder)
        assert found.names == [f"{n}.png" for n in (0, 1, 2, 3, 6, 7, 9)]
        assert found.y.tolist() == [0, 1, 0, 1, 0, 1, 1]
        np.testing.assert_allclose(found.x, colours([0, 1, 2, 3, 6, 7, 9]), atol=1e-6)
        assert [item.name for item in found.unread] == ["4.png", "5.png", "8.png"]
        assert all("not a picture" in item.reason for item in found.unread)
    assert (folder / "4.png").read_bytes() == b"no picture"


def test_a_folder_in_which_nothing_can_be_read(tmp_path):
    (tmp_path / "1.png").write_bytes(b"no picture")
    with pytest.raises(
        DataError, match=r"there are no features: none of 1 pictures can be read; the first is 1\.png: "
    ):
        extracted(Counting(), tmp_path)


def test_a_picture_whose_features_are_not_finite_is_named(folder):
    log = Model(x := Input((None, None, 3)), Lambda("log", output_shape=(3,))(GlobalAveragePooling2D()(x)))
    Image.new("RGB", (8, 8), (255, 0, 255)).save(folder / "0.png")
    with (
        pytest.raises(ValueError, match=r"Model 'model' gives 0\.png features that are not finite"),
        np.errstate(all="ignore"),
    ):
        extracted(None, folder, log)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda x: [x, x],
            r"must give one array of features of a known shape for pictures of 8x8 pixels, but its outputs",
        ),
        (lambda x: Conv2D(1, 9, padding="same")(x), "kernel"),
    ],
)
def test_models_without_one_array_of_features(make, message):
    x = Input((None, None, 3))
    if message == "kernel":
        # Fine: a known size of the picture gives one of the features.
        assert bottleneck.Extractor(Model(x, make(x)), (8, 9)).shape == (8, 9, 1)
        return
    with pytest.raises(ValueError, match=message):
        bottleneck.Extractor(Model(x, make(GlobalAveragePooling2D()(x))), (8, 8))


def test_joined_with_its_head_it_takes_pictures_and_files_carry_how(folder):
    prepare = Preprocessing(1 / 255, mean=(0.1, 0.2, 0.3), order="bgr")
    extractor = bottleneck.Extractor(network(), (8, 8), prepare, fitting="pad", interpolation="nearest")
    found = extractor.features(pictures(folder), folder / "features", verbose=False)
    head = Sequential([Input((3,)), Dense(2, activation="softmax", name="top")], name="pets")
    head.class_names, head.epoch, head.preprocessing = ["even", "odd"], 4, {"dataset": "pictures"}
    whole = extractor.joined(head)
    whole.save(folder / "whole.minicnn")
    read = load_model(folder / "whole.minicnn")
    assert (read.name, read.class_names, read.epoch, read.input_shape) == ("pets", ["even", "odd"], 4, (None, 8, 8, 3))
    used = read.preprocessing
    assert (used["dataset"], used["fit"], used["fitting"]) == ("pictures", "picture", "pad")
    assert used["interpolation"] == "nearest"
    x = np.stack([fit_picture(folder / name, (8, 8), mode="pad", interpolation="nearest") for name in found.names])
    y = read.predict(Preprocessing.from_config(used["input"])(x))
    np.testing.assert_allclose(y, head.predict(found.x), atol=1e-6)
    # The same weights, not copies of them.
    head.get_layer("top").set_weights([np.zeros((3, 2)), np.zeros(2)])
    np.testing.assert_array_equal(whole.predict(prepare(x)), 0.5)


def test_a_head_for_other_features_does_not_join():
    extractor = bottleneck.Extractor(network(), (8, 8))
    with pytest.raises(ValueError, match="x must have 4 values along its last axis"):
        extractor.joined(Sequential([Input((4,)), Dense(2)]))


def test_keeping_in_the_cache_and_telling_how_far_it_is(folder, monkeypatch, capsys):
    monkeypatch.setenv("MINICNN_CACHE", str(folder.parent / "cache"))
    extractor = bottleneck.Extractor(network(), (8, 8))
    assert len(extractor.features(pictures(folder)).x) == 10
    assert "features of 10 pictures" in capsys.readouterr().out
    (path,) = (folder.parent / "cache" / "features").iterdir()
    assert path.name == f"{extractor.fingerprint()[:16]}.features"


def test_two_stores_of_one_file_see_what_was_there_when_they_opened_it(tmp_path):
    path = tmp_path / "rows.features"
    one = FeatureStore(path, {}, (2, 1))
    one.append([b"a" * 16, b"b" * 16], np.array([[1, 2], [3, 4]]).reshape(2, 2, 1))
    two = FeatureStore(path, {}, (2, 1))
    assert len(two) == 2
    assert two.read([b"b" * 16, b"a" * 16, b"b" * 16]).ravel().tolist() == [3, 4, 1, 2, 3, 4]
    assert two.read([]).shape == (0, 2, 1)
    with pytest.raises(KeyError):
        two.read([b"c" * 16])
    with pytest.raises(DataError, match="not a file of these features"):
        FeatureStore(path, {}, (1, 2))
    with pytest.raises(ValueError, match="are too many to say what the rows are"):
        FeatureStore(tmp_path / "other", {"text": "x" * 5000}, (2,))


@pytest.mark.network
def test_squeezenet_features_train_a_head(tmp_path):
    """The whole way on drawn pets, with weights that nobody trained: what is drawn differs enough for them too."""
    from minicnn.data.sets.drawn_pets import load_data

    (x, y), _ = load_data(60, 0, size=(48, 48))
    for number, (picture, label) in enumerate(zip(x, y, strict=True)):
        Image.fromarray(picture).save(tmp_path / f"{'cat' if label == 0 else 'dog'}.{number}.png")
    source = PictureFiles.listed(tmp_path)
    source = source.labelled([int(name.startswith("dog")) for name in source.names], ("cat", "dog"))
    extractor = bottleneck.Extractor(
        SqueezeNet(include_top=False, weights=None, pooling="avg"), (48, 48), squeezenet.PREPROCESSING
    )
    train = extractor.features(source, tmp_path / "features", verbose=False)
    assert train.x.shape == (60, 512)
    head = Sequential([Flatten(), Dense(16, activation="relu"), Dense(1, activation="sigmoid")])
    head.compile("adam", "binary_crossentropy", ["accuracy"])
    scaled = (train.x - train.x.mean(axis=0)) / (train.x.std(axis=0) + 1e-6)
    history = head.fit(scaled, train.y, epochs=15, verbose=0)
    assert history.history["accuracy"][-1] > 0.9


@pytest.mark.network
def test_a_head_on_squeezenet_tells_photographs_of_cats_and_dogs_apart(tmp_path):
    """A few hundred pictures are enough for nine in ten; a network from scratch tells two in three by then."""
    if find_file("squeezenet_v1.1_imagenet.npz") is None or datasets.dogs_vs_cats.find().kind == "absent":
        real_data.missing("the SqueezeNet weights or the cats and dogs are not in $MINICNN_DATA")
    parts = datasets.dogs_vs_cats.load(train=200, validation=200)
    extractor = bottleneck.Extractor(SqueezeNet(include_top=False, pooling="avg"), (227, 227), squeezenet.PREPROCESSING)
    train, held = (extractor.features(part, tmp_path, verbose=False) for part in (parts.train, parts.validation))
    head = Sequential([Dropout(0.5), Dense(32, activation="relu"), Dropout(0.2), Dense(1, activation="sigmoid")])
    head.compile("rmsprop", "binary_crossentropy", ["accuracy"])
    head.fit(train.x, train.y, epochs=15, verbose=0)
    assert head.evaluate(held.x, held.y, verbose=0)[1] >= 0.9
