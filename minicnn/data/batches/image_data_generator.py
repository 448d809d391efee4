"""`ImageDataGenerator`: pictures changed at random, so that a network never sees the same one twice."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from minicnn import random
from minicnn.data.batches.array_iterator import NumpyArrayIterator
from minicnn.data.batches.dataframe_iterator import DataFrameIterator
from minicnn.data.batches.directory_iterator import DirectoryIterator
from minicnn.data.batches.generator_arguments import float_dtype, number, order, pair, share, shifts, zooms
from minicnn.data.batches.standardization import Standardization
from minicnn.data.batches.transforms import (
    FILL_MODES,
    apply_affine_transform,
    apply_brightness_shift,
    apply_channel_shift,
    flip_axis,
)
from minicnn.data.pictures.fitting import DATA_FORMATS, one_of

Draws = np.random.Generator | np.random.RandomState


class ImageDataGenerator(Standardization):
    """Random changes to pictures and the standardising of their values, with Keras' arguments and values.

    A picture is turned, shifted, sheared and zoomed in one step, then its channels are shifted, it is flipped and
    brightened, all by amounts drawn anew each time; then `preprocessing_function` and `rescale` are applied, then what
    is samplewise, featurewise and whitening.

    Args:
        featurewise_center, featurewise_std_normalization: bring each channel to mean 0, and to standard deviation 1, by
            what `fit` has seen.
        samplewise_center, samplewise_std_normalization: the same for each picture by its own values.
        zca_whitening, zca_epsilon: see `Standardization`.
        rotation_range: turn by up to so many degrees either way.
        width_shift_range, height_shift_range: shift along the columns, or the rows, either way: by up to a float (a
            share of the width or height if below 1, else pixels), by a whole number of pixels below an int, or by one
            of a list of amounts.
        brightness_range: (least, most) factor for the brightness.
        shear_range: shear by up to so many degrees either way.
        zoom_range: each side by a factor of its own in [1 - zoom_range, 1 + zoom_range], or in (least, most).
        channel_shift_range: brighten by up to so many levels either way.
        fill_mode, cval: what lies outside the picture: "nearest", "constant" (`cval`), "reflect" or "wrap".
        horizontal_flip, vertical_flip: flip with probability 1/2.
        rescale: a factor for the values.
        preprocessing_function: takes a picture and gives one of the same shape; called by several threads at once.
        data_format: "channels_last" (where None) or "channels_first".
        validation_split: share of the pictures that ``subset="validation"`` stands for, the first ones.
        interpolation_order: 0 takes the nearest cell, 1 interpolates linearly.
        dtype: of the batches, float32 where None.

    Raises:
        ValueError: an argument is out of range.

    Keras (3.15) exchanges the two shift ranges: its `height_shift_range` shifts along columns. Here they shift along
    what their names say. `apply_transform` gives Keras' values for Keras' parameters.

    >>> generator = ImageDataGenerator(rotation_range=20, horizontal_flip=True, rescale=1 / 255)
    >>> batches = generator.flow(np.zeros((10, 8, 8, 3)), np.arange(10), batch_size=4, seed=1)
    >>> x, y = next(batches)
    >>> x.shape, x.dtype, y.shape
    ((4, 8, 8, 3), dtype('float32'), (4,))
    """

    shear_unit = "degrees"
    """Of `shear_range` and of "shear": "degrees", or "radians" as Keras had it up to 2.1.2."""

    def __init__(
        self,
        featurewise_center: bool = False,
        samplewise_center: bool = False,
        featurewise_std_normalization: bool = False,
        samplewise_std_normalization: bool = False,
        zca_whitening: bool = False,
        zca_epsilon: float = 1e-6,
        rotation_range: float = 0,
        width_shift_range: float | ArrayLike = 0.0,
        height_shift_range: float | ArrayLike = 0.0,
        brightness_range: tuple[float, float] | None = None,
        shear_range: float = 0.0,
        zoom_range: float | tuple[float, float] = 0.0,
        channel_shift_range: float = 0.0,
        fill_mode: str = "nearest",
        cval: float = 0.0,
        horizontal_flip: bool = False,
        vertical_flip: bool = False,
        rescale: float | None = None,
        preprocessing_function: Callable[[NDArray[Any]], NDArray[Any]] | None = None,
        data_format: str | None = None,
        validation_split: float = 0.0,
        interpolation_order: int = 1,
        dtype: DTypeLike | None = None,
    ) -> None:
        super().__init__(
            featurewise_center=featurewise_center,
            featurewise_std_normalization=featurewise_std_normalization,
            samplewise_center=samplewise_center,
            samplewise_std_normalization=samplewise_std_normalization,
            zca_whitening=zca_whitening,
            zca_epsilon=number("zca_epsilon", zca_epsilon),
            rescale=None if rescale is None else number("rescale", rescale),
            preprocessing_function=preprocessing_function,
        )
        self.data_format = one_of("data_format", data_format or "channels_last", DATA_FORMATS)
        channels_last = self.data_format == "channels_last"
        self.channel_axis, self.row_axis, self.col_axis = (3, 1, 2) if channels_last else (1, 2, 3)
        self.rotation_range = number("rotation_range", rotation_range)
        self.width_shift_range = shifts("width_shift_range", width_shift_range)
        self.height_shift_range = shifts("height_shift_range", height_shift_range)
        self.brightness_range = None if brightness_range is None else pair("brightness_range", brightness_range)
        self.shear_range = number("shear_range", shear_range)
        self.zoom_range = zooms(zoom_range)
        self.channel_shift_range = number("channel_shift_range", channel_shift_range)
        self.fill_mode = one_of("fill_mode", fill_mode, FILL_MODES)
        self.cval = number("cval", cval)
        self.horizontal_flip = horizontal_flip
        self.vertical_flip = vertical_flip
        self.validation_split = share(validation_split)
        self.interpolation_order = order(interpolation_order)
        self.dtype = float_dtype(dtype)

    # ------------------------------------------------------------------------------------ one picture

    def get_random_transform(self, img_shape: tuple[int, ...], seed: int | None = None) -> dict[str, Any]:
        """Draw the amounts of a change.

        Args:
            img_shape: of the picture, (H, W, C) or (C, H, W).
            seed: same seed, same amounts, and those that Keras draws from it; None draws from the package's own random
                state (`minicnn.set_seed`).

        Returns:
            "theta" (degrees), "tx" and "ty" (pixels along the columns and the rows), "shear" (degrees), "zx" and "zy"
            (factors along the columns and the rows), "flip_horizontal", "flip_vertical", "channel_shift_intensity" and
            "brightness" (None where there is none).
        """
        return self._draw(img_shape, _draws(seed))

    def apply_transform(self, x: NDArray[Any], transform_parameters: Mapping[str, Any]) -> NDArray[Any]:
        """Change a picture (H, W, C) or (C, H, W) by given amounts; what is missing is not done.

        Args:
            x: the picture; left as it is.
            transform_parameters: see `get_random_transform`.

        Returns:
            Array of the shape and dtype of `x`.
        """
        given: Callable[..., Any] = transform_parameters.get
        rows, columns, channels = self.row_axis - 1, self.col_axis - 1, self.channel_axis - 1
        x = apply_affine_transform(
            x, given("theta", 0), given("tx", 0), given("ty", 0), given("shear", 0), given("zx", 1), given("zy", 1),
            row_axis=rows, col_axis=columns, channel_axis=channels, fill_mode=self.fill_mode, cval=self.cval,
            order=self.interpolation_order, shear_unit=self.shear_unit,
        )  # fmt: skip
        if given("channel_shift_intensity") is not None:
            x = apply_channel_shift(x, given("channel_shift_intensity"))
        if given("flip_horizontal", False):
            x = flip_axis(x, columns)
        if given("flip_vertical", False):
            x = flip_axis(x, rows)
        if given("brightness") is not None:
            # Brightness leaves transparency alone, and so must know where it is.
            lit = apply_brightness_shift(np.moveaxis(x, channels, -1), given("brightness"), scale=False)
            x = np.moveaxis(lit, -1, channels)
        return x

    def random_transform(self, x: NDArray[Any], seed: int | None = None) -> NDArray[Any]:
        """Change a picture at random; see `get_random_transform` for `seed`."""
        return self.apply_transform(x, self.get_random_transform(x.shape, seed))

    def augment(self, x: NDArray[Any], draws: Draws) -> NDArray[Any]:
        """Change a picture at random and standardise it: what iterators do. `x` may be changed in place."""
        return self.standardize(self.apply_transform(x, self._draw(x.shape, draws)))

    def _draw(self, shape: tuple[int, ...], draws: Draws) -> dict[str, Any]:
        # In Keras' order, so that the same stream of numbers gives the same amounts.
        theta = _within(self.rotation_range, draws)
        along_rows = _drawn_shift(self.height_shift_range, shape[self.row_axis - 1], draws)
        along_columns = _drawn_shift(self.width_shift_range, shape[self.col_axis - 1], draws)
        shear = _within(self.shear_range, draws)
        least, most = self.zoom_range
        zx, zy = (1, 1) if least == most == 1 else draws.uniform(least, most, 2)
        flip_horizontal = bool(draws.random() < 0.5) and self.horizontal_flip
        flip_vertical = bool(draws.random() < 0.5) and self.vertical_flip
        intensity = _within(self.channel_shift_range, draws) if self.channel_shift_range else None
        brightness = None if self.brightness_range is None else draws.uniform(*self.brightness_range)
        return {
            "theta": theta,
            "tx": along_columns,
            "ty": along_rows,
            "shear": shear,
            "zx": zx,
            "zy": zy,
            "flip_horizontal": flip_horizontal,
            "flip_vertical": flip_vertical,
            "channel_shift_intensity": intensity,
            "brightness": brightness,
        }

    # ----------------------------------------------------------------------------------- a data set

    def flow(
        self,
        x: Any,
        y: ArrayLike | None = None,
        batch_size: int = 32,
        shuffle: bool = True,
        sample_weight: ArrayLike | None = None,
        seed: int | None = None,
        save_to_dir: None = None,
        save_prefix: str = "",
        save_format: str = "png",
        ignore_class_split: bool = False,
        subset: str | None = None,
        **loading: Any,
    ) -> NumpyArrayIterator:
        """Batches of changed pictures of an array; see `NumpyArrayIterator`."""
        _refuse("flow", save_to_dir)
        return NumpyArrayIterator(
            x, y, self, batch_size, shuffle, sample_weight, seed, self.data_format, subset=subset,
            ignore_class_split=ignore_class_split, dtype=self.dtype, **loading,
        )  # fmt: skip

    def flow_from_directory(
        self,
        directory: str | os.PathLike[str],
        target_size: tuple[int, int] = (256, 256),
        color_mode: str = "rgb",
        classes: Sequence[str] | None = None,
        class_mode: str | None = "categorical",
        batch_size: int = 32,
        shuffle: bool = True,
        seed: int | None = None,
        save_to_dir: None = None,
        save_prefix: str = "",
        save_format: str = "png",
        follow_links: bool = False,
        subset: str | None = None,
        interpolation: str = "nearest",
        keep_aspect_ratio: bool = False,
        **loading: Any,
    ) -> DirectoryIterator:
        """Batches of changed pictures of a folder with one sub-folder for each class; see `DirectoryIterator`."""
        _refuse("flow_from_directory", save_to_dir)
        return DirectoryIterator(
            directory, self, target_size, color_mode, classes, class_mode, batch_size, shuffle, seed, self.data_format,
            follow_links=follow_links, subset=subset, interpolation=interpolation, keep_aspect_ratio=keep_aspect_ratio,
            dtype=self.dtype, **loading,
        )  # fmt: skip

    def flow_from_dataframe(
        self,
        dataframe: Any,
        directory: str | os.PathLike[str] | None = None,
        x_col: str = "filename",
        y_col: str | Sequence[str] = "class",
        weight_col: str | None = None,
        target_size: tuple[int, int] = (256, 256),
        color_mode: str = "rgb",
        classes: Sequence[str] | None = None,
        class_mode: str | None = "categorical",
        batch_size: int = 32,
        shuffle: bool = True,
        seed: int | None = None,
        save_to_dir: None = None,
        save_prefix: str = "",
        save_format: str = "png",
        subset: str | None = None,
        interpolation: str = "nearest",
        validate_filenames: bool = True,
        **loading: Any,
    ) -> DataFrameIterator:
        """Batches of changed pictures whose names and classes a table lists; see `DataFrameIterator`."""
        _refuse("flow_from_dataframe", save_to_dir)
        return DataFrameIterator(
            dataframe, directory, self, x_col, y_col, weight_col, target_size, color_mode, classes, class_mode,
            batch_size, shuffle, seed, self.data_format, subset=subset, interpolation=interpolation,
            validate_filenames=validate_filenames, dtype=self.dtype, **loading,
        )  # fmt: skip

    def fit(self, x: ArrayLike, augment: bool = False, rounds: int = 1, seed: int | None = None) -> None:
        """Take the statistics that featurewise standardising and whitening need.

        Args:
            x: pictures (N, H, W, C) or (N, C, H, W).
            augment: take them of pictures changed at random.
            rounds: with `augment`, so many changed ones of each picture.
            seed: of the changes.

        Raises:
            ValueError: `x` has other axes, or no pictures.
        """
        pictures = np.array(x, self.dtype)
        if pictures.ndim != 4 or not pictures.size:
            raise ValueError(f"ImageDataGenerator.fit: expected pictures (N, H, W, C), got shape {pictures.shape}")
        if self.rescale:
            pictures *= self.rescale
        if augment:
            draws = _draws(seed)
            changed = [
                self.apply_transform(picture, self._draw(picture.shape, draws))
                for _ in range(rounds)
                for picture in pictures
            ]
            pictures = np.array(changed, self.dtype)
        self._take_statistics(pictures, self.channel_axis)


def _refuse(operation: str, save_to_dir: Any) -> None:
    if save_to_dir is not None:
        raise ValueError(
            f"{operation}: save_to_dir={save_to_dir!r} is not supported; save what batches hold with "
            "minicnn.preprocessing.image.save_img"
        )


def _draws(seed: int | None) -> Draws:
    # Keras draws from NumPy's older generator: so the same seed gives the same amounts.
    return random.generator(random.spawn()) if seed is None else np.random.RandomState(seed)


def _within(most: float, draws: Draws) -> float:
    return draws.uniform(-most, most) if most else 0


def _drawn_shift(amounts: Any, size: int, draws: Draws) -> float:
    if np.ndim(amounts) == 0 and not amounts:
        return 0
    if np.ndim(amounts) or isinstance(amounts, int):
        shift = draws.choice(amounts) * draws.choice([-1, 1])
    else:
        shift = draws.uniform(-amounts, amounts)
    return float(shift * size if np.max(amounts) < 1 else shift)
