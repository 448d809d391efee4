"""Where versions of Keras gave one and the same argument different meanings."""

from __future__ import annotations

from dataclasses import dataclass

from minicnn.errors import unknown_name


@dataclass(frozen=True)
class Rules:
    """What a script written for one version of Keras means.

    Attributes:
        version: what `keras.__version__` says.
        patience_offset: added to the patience of `EarlyStopping`. Until 2.0.8 Keras compared the wait before it counted
            the epoch, so that patience 2 stopped at the third epoch in a row without improvement.
        shear_in_radians: whether `shear_range` was an angle in radians, as until 2.1.2; degrees after that.
        interpolation_order: of pictures that are turned and zoomed: 0 took the nearest pixel, 1 mixes four.
        rows_and_columns: whether the second and third number of `Conv2D(64, 5, 5)` are the kernel's rows and columns,
            as in Keras 1, and not its size and its strides.
        files_of_any_name: whether a model may be saved under a name without an ending, and is HDF5 then.
        frozen_when_compiled: whether `compile` settles what is trained, whatever is frozen or thawed after it.
    """

    version: str
    patience_offset: int
    shear_in_radians: bool
    interpolation_order: int
    rows_and_columns: bool
    files_of_any_name: bool
    frozen_when_compiled: bool


_RULES = {
    "2.0.8": Rules("2.0.8", 1, True, 0, True, True, True),
    "2.3": Rules("2.3.1", 0, False, 1, True, True, True),
    "3": Rules("3.0.0", 0, False, 1, False, False, False),
}
VERSIONS = tuple(_RULES)


def rules_of(version: str) -> Rules:
    """The rules of a version; ValueError names those there are.

    >>> rules_of("2.0.8").patience_offset
    1
    >>> rules_of("2.2")
    Traceback (most recent call last):
    ValueError: unknown version of Keras '2.2'; did you mean '2.3'?
    """
    if version not in _RULES:
        raise ValueError(unknown_name("version of Keras", version, VERSIONS))
    return _RULES[version]
