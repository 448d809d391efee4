"""The changes to a picture against Keras' own, for generated pictures and amounts."""

from __future__ import annotations

import importlib
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn.data.batches.transforms import FILL_MODES, affine_matrix, apply_affine_transform, flip_axis
from minicnn.preprocessing.image import ImageDataGenerator, apply_brightness_shift, apply_channel_shift
from tests.oracles import keras

# Keras calls SciPy by a name that SciPy is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:Please import `affine_transform`:DeprecationWarning")


def theirs() -> Any:
    keras()
    return importlib.import_module("keras.src.legacy.preprocessing.image")


def levels(shape: tuple[int, ...], seed: int, dtype: str = "float32") -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(dtype)


def maybe(amounts: st.SearchStrategy[float], still: float) -> st.SearchStrategy[float]:
    return st.just(still) | amounts


AMOUNTS = st.fixed_dictionaries(
    {
        "theta": maybe(st.floats(-180, 180), 0),
        "tx": maybe(st.floats(-9, 9) | st.integers(-20, 20).map(lambda n: n / 2), 0),
        "ty": maybe(st.floats(-9, 9) | st.integers(-20, 20).map(lambda n: n / 2), 0),
        "shear": maybe(st.floats(-60, 60), 0),
        "zx": maybe(st.floats(0.2, 3), 1),
        "zy": maybe(st.floats(0.2, 3), 1),
        "flip_horizontal": st.booleans(),
        "flip_vertical": st.booleans(),
        "channel_shift_intensity": st.none() | st.floats(-99, 99),
        "brightness": st.none() | st.floats(0, 3),
    }
)


@settings(max_examples=150)
@given(
    size=st.tuples(st.integers(1, 16), st.integers(1, 16)),
    channels=st.sampled_from([1, 3, 4]),
    amounts=AMOUNTS,
    fill_mode=st.sampled_from(FILL_MODES),
    order=st.sampled_from([0, 1]),
    channels_first=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_changes_are_kerass(size, channels, amounts, fill_mode, order, channels_first, seed):
    how = {"fill_mode": fill_mode, "cval": 40.0, "interpolation_order": order}
    x = levels((*size, channels), seed)
    ours = ImageDataGenerator(data_format="channels_first" if channels_first else "channels_last", **how)
    # Keras brightens pictures with the channels first as if they were last, so ours are measured against those.
    given_x = x.transpose(2, 0, 1) if channels_first else x
    y = ours.apply_transform(given_x, amounts)
    expected = theirs().ImageDataGenerator(data_format="channels_last", **how).apply_transform(x.copy(), amounts)
    assert (y.shape, y.dtype) == (given_x.shape, np.float32)
    np.testing.assert_allclose(y.transpose(1, 2, 0) if channels_first else y, expected, rtol=0, atol=1)
    np.testing.assert_array_equal(x, levels((*size, channels), seed), err_msg="the picture was changed")


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("span", [(0, 255), (0, 1), (-60, 400), (12, 12)])
def test_brightness_of_any_values(scale, span):
    x = np.random.default_rng(0).uniform(*span, (9, 7, 3)).astype(np.float32)
    for brightness in (0.0, 0.4, 1.0, 2.5):
        expected = theirs().apply_brightness_shift(x, brightness, scale)
        np.testing.assert_allclose(apply_brightness_shift(x, brightness, scale), expected, rtol=0, atol=1e-3)


def test_whole_numbers_stay_whole_numbers():
    x = levels((8, 9, 3), 0, "uint8")
    for amounts in ({"theta": 30}, {"channel_shift_intensity": 70.5}, {"brightness": 1.7}, {"flip_vertical": True}):
        y = ImageDataGenerator().apply_transform(x, amounts)
        assert y.dtype == np.uint8
        expected = ImageDataGenerator().apply_transform(x.astype(np.float64), amounts)
        assert np.abs(y - expected).max() <= 0.5


def test_float64_is_kept():
    x = np.random.default_rng(0).uniform(0, 255, (6, 6, 3))
    amounts = {"theta": 30, "channel_shift_intensity": 9.0, "brightness": 0.7}
    assert ImageDataGenerator(dtype="float64").apply_transform(x, amounts).dtype == np.float64


def test_a_quarter_turn():
    x = levels((5, 5, 1), 0)
    turned = apply_affine_transform(x, theta=90, row_axis=0, col_axis=1, channel_axis=2, order=0)
    np.testing.assert_array_equal(turned[..., 0], np.rot90(x[..., 0]))


def test_shear_in_degrees_and_in_radians():
    degrees = affine_matrix((7, 7), shear=math.degrees(0.2))
    np.testing.assert_allclose(affine_matrix((7, 7), shear=0.2, shear_unit="radians"), degrees, rtol=1e-12)
    assert degrees[0, 0] == pytest.approx(math.cos(0.2))

    class Old(ImageDataGenerator):
        shear_unit = "radians"

    x = levels((9, 9, 3), 0)
    np.testing.assert_allclose(
        Old().apply_transform(x, {"shear": 0.2}),
        ImageDataGenerator().apply_transform(x, {"shear": math.degrees(0.2)}),
        atol=1e-3,
    )
    with pytest.raises(ValueError, match="shear_unit: expected one of 'degrees', 'radians', got 'turns'"):
        affine_matrix((7, 7), shear=1, shear_unit="turns")


def test_nothing_to_do_gives_the_picture_itself():
    x = levels((4, 4, 3), 0)
    assert ImageDataGenerator().apply_transform(x, {}) is x
    assert apply_affine_transform(x, theta=0) is x


def test_flips_and_channel_shifts():
    x = levels((4, 5, 3), 0)
    np.testing.assert_array_equal(flip_axis(x, 1), x[:, ::-1])
    np.testing.assert_array_equal(apply_channel_shift(x, 20.0), np.clip(x + 20, x.min(), x.max()))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fill_mode": "mirror"}, "fill_mode: expected one of 'constant', 'nearest', 'reflect', 'wrap', got 'mirror'"),
        ({"order": 3}, r"order: expected 0 \(nearest\) or 1 \(linear\), got 3"),
        ({"channel_axis": 1, "row_axis": 0}, "expected a picture of three axes, the channels first or last"),
        ({"theta": math.nan}, "expected finite angles, shifts and zooms, got NaN or infinity"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        apply_affine_transform(levels((4, 4, 3), 0), **arguments)
