"""`ImageDataGenerator`: what it draws and how it standardises, against Keras', and its flow of arrays."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

import minicnn
from minicnn.preprocessing.image import ImageDataGenerator
from tests.oracles import keras

pytestmark = pytest.mark.filterwarnings("ignore:Please import `affine_transform`:DeprecationWarning")
PICTURES = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3)).astype(np.float32)


def theirs(**how: Any) -> Any:
    keras()
    return importlib.import_module("keras.src.legacy.preprocessing.image").ImageDataGenerator(**how)


RANGES = [
    {"rotation_range": 40, "shear_range": 0.2, "zoom_range": 0.2, "horizontal_flip": True},
    {"width_shift_range": 0.2, "height_shift_range": 0.4, "vertical_flip": True},
    {"width_shift_range": [-3, 1, 2], "height_shift_range": 4},
    {"width_shift_range": 2.5, "zoom_range": (0.5, 0.7)},
    {"channel_shift_range": 30.0, "brightness_range": (0.2, 1.8), "fill_mode": "wrap", "interpolation_order": 0},
]


@pytest.mark.parametrize("ranges", RANGES, ids=lambda ranges: next(iter(ranges)))
def test_the_same_seed_draws_what_keras_draws(ranges):
    ours = ImageDataGenerator(**ranges)
    for seed in range(20):
        expected = theirs(**ranges).get_random_transform((8, 10, 3), seed)
        # Keras' height_shift_range shifts along the columns; ours does what it says.
        expected["tx"], expected["ty"] = expected["ty"], expected["tx"]
        drawn = ours.get_random_transform((8, 10, 3), seed)
        assert drawn.keys() == expected.keys()
        for name, amount in expected.items():
            assert drawn[name] == pytest.approx(amount), name


def test_shifts_go_along_what_their_names_say():
    x = np.zeros((9, 9, 1), np.float32)
    x[4, 4] = 1
    for name, axis in (("height_shift_range", 0), ("width_shift_range", 1)):
        generator = ImageDataGenerator(**{name: [2]}, fill_mode="constant")
        places = {tuple(np.argwhere(generator.random_transform(x, seed)[..., 0])[0]) for seed in range(9)}
        assert {place[axis] for place in places} == {2, 6}
        assert {place[1 - axis] for place in places} == {4}


STANDARDS = [
    {"featurewise_center": True, "featurewise_std_normalization": True, "rescale": 1 / 255},
    {"samplewise_center": True, "samplewise_std_normalization": True},
    {"featurewise_center": True, "zca_whitening": True, "zca_epsilon": 0.01},
    {"rescale": 1 / 127.5, "preprocessing_function": lambda x: x - 127.5},
    {"featurewise_center": True, "data_format": "channels_first"},
]


@pytest.mark.parametrize("standard", STANDARDS, ids=lambda standard: next(iter(standard)))
@pytest.mark.parametrize("augment", [False, True])
def test_standards_are_kerass(standard, augment):
    x = PICTURES.transpose(0, 3, 1, 2) if "data_format" in standard else PICTURES
    ours, keras_own = (make(rotation_range=20, **standard) for make in (ImageDataGenerator, theirs))
    for generator in (ours, keras_own):
        generator.fit(x, augment=augment, rounds=2, seed=5)
    for name in ("mean", "std", "zca_whitening_matrix"):
        expected = getattr(keras_own, name)
        if expected is None:
            assert getattr(ours, name) is None
        else:
            np.testing.assert_allclose(getattr(ours, name), expected, rtol=1e-4, atol=1e-5)
    expected = keras_own.standardize(x[:3].copy())
    np.testing.assert_allclose(ours.standardize(x[:3].copy()), expected, rtol=1e-4, atol=1e-4)
    assert ours.standardize(x[:3].copy()).dtype == np.float32


def test_statistics_can_be_assigned():
    generator = ImageDataGenerator(featurewise_center=True)
    generator.mean = np.array([123.68, 116.779, 103.939])
    np.testing.assert_allclose(generator.standardize(PICTURES[:1].copy()), PICTURES[:1] - generator.mean, rtol=1e-6)


def test_what_needs_something_else_says_so():
    with pytest.warns(UserWarning, match="zca_whitening switches featurewise_center on"):
        assert ImageDataGenerator(zca_whitening=True).featurewise_center
    with pytest.warns(UserWarning, match="zca_whitening switches featurewise_std_normalization off"):
        ImageDataGenerator(zca_whitening=True, featurewise_center=True, featurewise_std_normalization=True)
    with pytest.warns(UserWarning, match="samplewise_std_normalization switches samplewise_center on"):
        ImageDataGenerator(samplewise_std_normalization=True)
    with pytest.warns(UserWarning, match=r"featurewise_center needs a data set's statistics: call fit\(pictures\)"):
        np.testing.assert_array_equal(ImageDataGenerator(featurewise_center=True).standardize(PICTURES), PICTURES)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"zoom_range": (1, 2, 3)}, "zoom_range: expected two numbers"),
        ({"zoom_range": "wide"}, "zoom_range: expected a finite number, got 'wide'"),
        ({"rotation_range": np.inf}, "rotation_range: expected a finite number, got inf"),
        ({"brightness_range": 0.5}, "brightness_range: expected two numbers, got 0.5"),
        ({"width_shift_range": -3}, "width_shift_range: expected whole pixels of at least 0, got -3"),
        ({"height_shift_range": []}, r"height_shift_range: expected a number or a list of numbers, got \[\]"),
        ({"fill_mode": "mirror"}, "fill_mode: expected one of 'constant', 'nearest', 'reflect', 'wrap', got 'mirror'"),
        ({"interpolation_order": 3}, r"interpolation_order: expected 0 \(nearest\) or 1 \(linear\), got 3"),
        ({"data_format": "NHWC"}, "data_format: expected one of 'channels_last', 'channels_first', got 'NHWC'"),
        ({"validation_split": 1}, "validation_split: expected 0 <= share < 1, got 1"),
        ({"dtype": "uint8"}, "dtype: expected float32 or float64, got uint8"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        ImageDataGenerator(**arguments)


def test_fit_needs_pictures():
    for x in (PICTURES[0], PICTURES[:0]):
        with pytest.raises(ValueError, match=r"fit: expected pictures \(N, H, W, C\), got shape"):
            ImageDataGenerator(featurewise_center=True).fit(x)


# ------------------------------------------------------------------------------------------------ arrays


def epoch_of(iterator: Any) -> list[Any]:
    return list(iterator.stream())


def test_a_flow_gives_every_sample_once_an_epoch():
    flow = ImageDataGenerator().flow(PICTURES, np.arange(20), batch_size=8, seed=3)
    assert len(flow) == 3
    epochs = [epoch_of(flow) for _ in range(2)]
    for epoch in epochs:
        assert [len(x) for x, _ in epoch] == [8, 8, 4]
        order = np.concatenate([y for _, y in epoch])
        np.testing.assert_array_equal(np.sort(order), np.arange(20))
        np.testing.assert_array_equal(np.concatenate([x for x, _ in epoch]), PICTURES[order])
    assert [list(y) for _, y in epochs[0]] != [list(y) for _, y in epochs[1]]


def test_an_unshuffled_flow_is_in_order_and_standardised():
    flow = ImageDataGenerator(rescale=1 / 255).flow(PICTURES.astype(np.uint8), batch_size=20, shuffle=False)
    x = next(flow)
    assert x.dtype == np.float32
    np.testing.assert_array_equal(x, PICTURES * np.float32(1 / 255))


def test_every_changed_picture_is_one_of_the_generator():
    generator = ImageDataGenerator(rotation_range=180, fill_mode="constant", brightness_range=(0.5, 1.5))
    flow = generator.flow(PICTURES, batch_size=5, seed=1)
    (first, *_), (later, *_) = epoch_of(flow), epoch_of(flow)
    assert not np.array_equal(first, later)
    (again, *_) = epoch_of(generator.flow(PICTURES, batch_size=5, seed=1))
    np.testing.assert_array_equal(again, first)
    (other, *_) = epoch_of(generator.flow(PICTURES, batch_size=5, seed=2))
    assert not np.array_equal(other, first)


def test_without_a_seed_the_packages_own_is_used():
    def first_batch():
        minicnn.set_seed(7)
        return epoch_of(ImageDataGenerator(rotation_range=90).flow(PICTURES))[0]

    np.testing.assert_array_equal(first_batch(), first_batch())


def test_weights_and_further_arrays_come_along():
    further = np.arange(20) * 10
    flow = ImageDataGenerator().flow(
        [PICTURES, further], np.arange(20), batch_size=6, sample_weight=np.arange(20) / 20, seed=0
    )
    for (x, beside), y, weights in epoch_of(flow):
        np.testing.assert_array_equal(x, PICTURES[y])
        np.testing.assert_array_equal(beside, y * 10)
        np.testing.assert_array_equal(weights, y / 20)


def test_subsets_are_the_first_and_the_last_pictures():
    generator = ImageDataGenerator(validation_split=0.25)
    y = np.arange(20) % 2
    parts = {
        subset: np.concatenate([x for x, _ in epoch_of(generator.flow(PICTURES, y, shuffle=False, subset=subset))])
        for subset in ("training", "validation")
    }
    np.testing.assert_array_equal(parts["validation"], PICTURES[:5])
    np.testing.assert_array_equal(parts["training"], PICTURES[5:])
    with pytest.raises(ValueError, match="have different classes; shuffle the pictures"):
        generator.flow(PICTURES, np.arange(20), subset="training")
    assert generator.flow(PICTURES, np.arange(20), subset="training", ignore_class_split=True).n == 15
    with pytest.raises(ValueError, match="subset: 'training' needs a validation_split above 0"):
        ImageDataGenerator().flow(PICTURES, subset="training")
    with pytest.raises(ValueError, match="subset: expected one of 'training', 'validation', got 'test'"):
        generator.flow(PICTURES, subset="test")


def test_pictures_to_validate_on_are_only_standardised():
    generator = ImageDataGenerator(rotation_range=180, rescale=1 / 255, validation_split=0.25)
    how = {"shuffle": False, "subset": "validation", "batch_size": 5}
    np.testing.assert_array_equal(generator.flow(PICTURES, **how)[0], PICTURES[:5] * np.float32(1 / 255))
    assert not np.array_equal(generator.flow(PICTURES, augment=True, **how)[0], generator.flow(PICTURES, **how)[0])
    unchanged = generator.flow(PICTURES, shuffle=False, augment=False, batch_size=20)[0]
    np.testing.assert_array_equal(unchanged, PICTURES * np.float32(1 / 255))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": PICTURES[0]}, r"flow: expected pictures \(N, H, W, C\) or \(N, C, H, W\), got shape \(8, 8, 3\)"),
        ({"x": PICTURES, "y": [1, 2]}, r"flow: y: expected 20 rows, one a picture, got shape \(2,\)"),
        ({"x": PICTURES, "sample_weight": 3}, "flow: sample_weight: expected 20 rows"),
        ({"x": [PICTURES, np.zeros(3)]}, r"flow: x\[1\]\[0\]: expected 20 rows"),
        ({"x": PICTURES, "batch_size": 0}, "batch_size: expected a whole number of at least 1, got 0"),
        ({"x": PICTURES, "workers": -1}, "workers: expected a whole number of at least 0, got -1"),
        ({"x": PICTURES, "save_to_dir": "out"}, "flow: save_to_dir='out' is not supported; save what batches hold"),
    ],
)
def test_wrong_arguments_of_flow(arguments, message):
    with pytest.raises(ValueError, match=message):
        ImageDataGenerator().flow(**arguments)
