"""Helpers under the names Keras gives them."""

from __future__ import annotations

from minicnn.data.batches.image_dataset import image_dataset_from_directory
from minicnn.data.labels import to_categorical
from minicnn.data.pictures.images import array_to_img, img_to_array, load_img, save_img

__all__ = [
    "array_to_img",
    "image_dataset_from_directory",
    "img_to_array",
    "load_img",
    "save_img",
    "set_random_seed",
    "to_categorical",
]


def set_random_seed(seed: int) -> None:
    """Start all of the package's randomness from `seed`; the same as `minicnn.set_seed`."""
    from minicnn.random import set_seed

    set_seed(seed)
