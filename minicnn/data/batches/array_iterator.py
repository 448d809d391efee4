"""Batches of changed pictures of an array."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from minicnn.data.batches.batch_iterator import BatchIterator
from minicnn.data.batches.subsets import change_for, part_of
from minicnn.data.pictures.fitting import DATA_FORMATS, one_of

if TYPE_CHECKING:
    from minicnn.data.batches.image_data_generator import ImageDataGenerator


class NumpyArrayIterator(BatchIterator):
    """Batches of changed pictures of an array; what `ImageDataGenerator.flow` gives.

    A batch is ``x``, ``(x, y)`` or ``(x, y, sample_weight)``, and its x a list where further arrays came with the
    pictures.

    Args:
        x: pictures (N, H, W, C) or (N, C, H, W); or a pair of them and a further array (N, ...), or a list of such.
        y, sample_weight: arrays (N, ...).
        image_data_generator: changes the pictures.
        batch_size, shuffle, seed: see `BatchIterator`.
        data_format: where the channels are.
        subset: "training" or "validation": the part that the generator's `validation_split` says.
        ignore_class_split: let the two parts have different classes.
        augment: see `DirectoryIterator`.
        loading: `workers`, `prefetch_bytes`, see `BatchIterator`.

    Raises:
        ValueError: lengths differ, or `x` has other axes.
    """

    def __init__(
        self,
        x: Any,
        y: ArrayLike | None,
        image_data_generator: ImageDataGenerator,
        batch_size: int = 32,
        shuffle: bool = False,
        sample_weight: ArrayLike | None = None,
        seed: int | None = None,
        data_format: str | None = None,
        *,
        subset: str | None = None,
        ignore_class_split: bool = False,
        augment: bool | None = None,
        dtype: DTypeLike | None = None,
        **loading: Any,
    ) -> None:
        one_of("data_format", data_format or "channels_last", DATA_FORMATS)
        pictures, *further = _with_further(x)
        arrays = {"y": y, "sample_weight": sample_weight, **{f"x[1][{i}]": a for i, a in enumerate(further)}}
        given = {name: np.asarray(array) for name, array in arrays.items() if array is not None}
        if pictures.ndim != 4:
            raise ValueError(f"flow: expected pictures (N, H, W, C) or (N, C, H, W), got shape {pictures.shape}")
        for name, array in given.items():
            if array.ndim == 0 or len(array) != len(pictures):
                raise ValueError(f"flow: {name}: expected {len(pictures)} rows, one a picture, got shape {array.shape}")
        if subset is not None:
            part = part_of(len(pictures), image_data_generator, subset)
            if "y" in given and not ignore_class_split:
                _check_classes(given["y"], part)
            pictures, given = pictures[part], {name: array[part] for name, array in given.items()}
        self.x = pictures
        self.y, self.sample_weight = given.pop("y", None), given.pop("sample_weight", None)
        self.x_misc = list(given.values())
        self.image_data_generator = image_data_generator
        self._change = change_for(image_data_generator, subset, augment)
        super().__init__(
            len(pictures), pictures.shape[1:], batch_size, shuffle, seed,
            dtype=image_data_generator.dtype if dtype is None else dtype, **loading,
        )  # fmt: skip

    def _load(self, index: int, generator: np.random.Generator) -> NDArray[Any]:
        x = self.x[index].astype(self.dtype)
        return x if self._change is None else self._change(x, generator)

    def _batch(self, indices: NDArray[np.intp], x: NDArray[Any]) -> Any:
        inputs = [x, *(array[indices] for array in self.x_misc)] if self.x_misc else x
        if self.y is None:
            return inputs
        batch = (inputs, self.y[indices])
        return batch if self.sample_weight is None else (*batch, self.sample_weight[indices])


def _with_further(x: Any) -> list[NDArray[Any]]:
    """The pictures, and the arrays that came with them."""
    if not isinstance(x, (tuple, list)) or not x or np.ndim(x[0]) != 4:
        return [np.asarray(x)]
    if len(x) != 2:
        raise ValueError(f"flow: expected pictures, or a pair of pictures and further arrays, got {len(x)} things")
    return [np.asarray(x[0]), *map(np.asarray, x[1] if isinstance(x[1], list) else [x[1]])]


def _check_classes(y: NDArray[Any], part: slice) -> None:
    rest = np.delete(np.arange(len(y)), part)
    if not np.array_equal(np.unique(y[part], axis=0), np.unique(y[rest], axis=0)):
        raise ValueError(
            "flow: the training and the validation subset have different classes; shuffle the pictures, which are "
            "cut where they lie, or say ignore_class_split=True"
        )
