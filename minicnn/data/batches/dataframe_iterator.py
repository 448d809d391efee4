"""Batches of changed pictures whose names and classes a table lists."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from minicnn.data.batches.directory_iterator import FileIterator
from minicnn.data.batches.subsets import change_for, part_of
from minicnn.data.pictures.fitting import one_of
from minicnn.data.pictures.sources import PictureFiles, Skipped, why_not_by_name

if TYPE_CHECKING:
    from minicnn.data.batches.image_data_generator import ImageDataGenerator

_OF_CLASSES = ("binary", "categorical", "sparse")
_CLASS_MODES = (*_OF_CLASSES, "input", "multi_output", "raw", None)


class DataFrameIterator(FileIterator):
    """Batches of changed pictures listed in a table; what `ImageDataGenerator.flow_from_dataframe` gives.

    Says how many there are when it is made. Rows without a usable file are left out and noted in `skipped`.

    Args:
        dataframe: a pandas ``DataFrame``, a dictionary of columns, or a list of (file name, class) pairs.
        directory: what the file names are relative to.
        image_data_generator: changes the pictures; None leaves them as they are.
        x_col, y_col: the columns of file names and of classes (text; lists of it in "categorical" for several classes a
            picture) or of values; a list of columns in "multi_output", and possible in "raw".
        weight_col: the column of sample weights.
        classes: the classes in order; pictures of others are left out. All, sorted, where None.
        class_mode: as in `PictureLoader`, or "raw" for the values as they are, or "multi_output" for a list of them.
        target_size, color_mode, batch_size, shuffle, seed, data_format, interpolation, augment, loading: see
            `DirectoryIterator`.
        subset: "training" or "validation": the part that the generator's `validation_split` says.
        validate_filenames: look for each file now; otherwise missing ones are found when their turn comes.

    Raises:
        ValueError: an argument is out of range, or there is no such column.
        TypeError: a file name, or a class, is no text, or a weight no number.
    """

    def __init__(
        self,
        dataframe: Any,
        directory: str | os.PathLike[str] | None = None,
        image_data_generator: ImageDataGenerator | None = None,
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
        data_format: str | None = None,
        *,
        subset: str | None = None,
        interpolation: str = "nearest",
        validate_filenames: bool = True,
        augment: bool | None = None,
        dtype: DTypeLike | None = None,
        **loading: Any,
    ) -> None:
        one_of("class_mode", class_mode, _CLASS_MODES)
        if class_mode == "multi_output" and isinstance(y_col, str):
            raise TypeError(f"y_col: expected a list of columns for class_mode 'multi_output', got {y_col!r}")
        wanted = [] if class_mode in ("input", None) else [y_col] if isinstance(y_col, str) else list(y_col)
        table = _columns(dataframe, [x_col, *wanted, *([] if weight_col is None else [weight_col])])
        names = _texts(x_col, table[x_col])
        root = Path(directory or "")
        reasons = [_why_unusable(root / name, validate_filenames) for name in names]
        skipped = [Skipped(name, reason) for name, reason in zip(names, reasons, strict=True) if reason is not None]
        rows = [row for row, reason in enumerate(reasons) if reason is None]
        self._one_column = isinstance(y_col, str)
        self._class_names: tuple[str, ...] = ()
        if class_mode in _OF_CLASSES:
            lists = _class_lists(wanted[0], table[wanted[0]], several=class_mode == "categorical")
            self._class_names = tuple(dict.fromkeys(classes or sorted({name for row in rows for name in lists[row]})))
            rows = [row for row in rows if not set(self._class_names).isdisjoint(lists[row])]
        if subset is not None:
            rows = rows[part_of(len(rows), image_data_generator, subset)]
        chosen = [names[row] for row in rows]
        source = PictureFiles([root / name for name in chosen], chosen, skipped)
        self._tables = [np.array([table[column][row] for row in rows]) for column in wanted]
        if class_mode in _OF_CLASSES:
            self._tables = [_indicators([lists[row] for row in rows], self._class_names)]
            if (self._tables[0].sum(axis=1) == 1).all():
                source = source.labelled(self._tables[0].argmax(axis=1), self._class_names)
        self._weights = None if weight_col is None else _numbers(weight_col, [table[weight_col][row] for row in rows])
        self.directory = directory or ""
        self.image_data_generator = image_data_generator
        super().__init__(
            source, target_size, batch_size, class_mode if class_mode in ("binary", "input") else None,
            shuffle=shuffle, seed=seed, color_mode=color_mode, interpolation=interpolation,
            transform=change_for(image_data_generator, subset, augment),
            data_format=data_format or "channels_last", dtype=dtype or "float32", **loading,
        )  # fmt: skip
        self.class_mode = class_mode
        if self.verbose:
            how = "validated" if validate_filenames else "non-validated"
            of = f" belonging to {self.num_classes} classes" if class_mode in _OF_CLASSES else ""
            print(f"Found {len(source)} {how} image filenames{of}.")

    @property
    def class_indices(self) -> dict[str, int]:
        """Class number by class name."""
        return {name: index for index, name in enumerate(self._class_names)}

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return len(self._class_names)

    def _batch(self, indices: NDArray[np.intp], x: NDArray[Any]) -> Any:
        batch = super()._batch(indices, x)
        return batch if self._weights is None or self.class_mode is None else (*batch, self._weights[indices])

    def _targets(self, indices: NDArray[np.intp], x: NDArray[Any]) -> Any:
        if self.class_mode not in ("raw", "multi_output", "categorical"):
            return super()._targets(indices, x)
        columns = [table[indices] for table in self._tables]
        if self.class_mode == "multi_output":
            return columns
        if self.class_mode == "categorical":
            return columns[0].astype(self.dtype)
        return columns[0] if self._one_column else np.stack(columns, axis=-1)


def _columns(table: Any, wanted: list[str]) -> dict[str, list[Any]]:
    """The columns wanted, of whatever holds them."""
    if isinstance(table, Mapping) or hasattr(table, "columns"):
        known = list(table) if isinstance(table, Mapping) else list(table.columns)
        missing = [name for name in wanted if name not in known]
        if missing:
            raise ValueError(f"flow_from_dataframe: there is no column {missing[0]!r}; the columns are {known}")
        columns = {name: list(table[name]) for name in wanted}
    else:
        rows = [(row,) if isinstance(row, str) else tuple(row) for row in table]
        short = [row for row in rows if len(row) < len(wanted)]
        if short:
            raise ValueError(f"flow_from_dataframe: expected rows of {wanted}, got {short[0]!r}")
        columns = {name: [row[place] for row in rows] for place, name in enumerate(wanted)}
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"flow_from_dataframe: expected columns of one length, got {lengths}")
    return columns


def _texts(name: str, values: list[Any]) -> list[str]:
    for value in values:
        if not isinstance(value, (str, os.PathLike)):
            raise TypeError(f"flow_from_dataframe: column {name!r}: expected file names, got {value!r}")
    return [os.fspath(value) for value in values]


def _class_lists(name: str, values: list[Any], several: bool) -> list[list[str]]:
    """The classes of each picture."""
    lists = [list(value) if several and isinstance(value, (list, tuple)) else [value] for value in values]
    for own in lists:
        if not all(isinstance(label, str) for label in own):
            raise TypeError(f"flow_from_dataframe: column {name!r}: expected class names as text, got {own[0]!r}")
    return lists


def _indicators(lists: list[list[str]], class_names: Sequence[str]) -> NDArray[np.bool_]:
    """(N, C): whether picture n is of class c."""
    rows = [[name in own for name in class_names] for own in lists]
    return np.array(rows, bool).reshape(len(lists), len(class_names))


def _numbers(name: str, values: list[Any]) -> NDArray[Any]:
    numbers = np.array(values)
    if numbers.size and (numbers.ndim != 1 or numbers.dtype.kind not in "biuf"):
        raise TypeError(f"flow_from_dataframe: column {name!r}: expected numbers, got {values[0]!r}")
    return numbers


def _why_unusable(path: Path, look: bool) -> str | None:
    return why_not_by_name(path.name) or ("no such file" if look and not path.is_file() else None)
