"""From a picture to what a network takes."""

from __future__ import annotations

from minicnn.data.batches.image_dataset import image_dataset_from_directory
from minicnn.data.errors import PictureError
from minicnn.data.labels import split
from minicnn.data.pictures.digits import fit_digit
from minicnn.data.pictures.fitting import fit_picture
from minicnn.data.pictures.opening import open_picture
from minicnn.data.pictures.preprocessing import Preprocessing
from minicnn.preprocessing import image

__all__ = [
    "PictureError",
    "Preprocessing",
    "fit_digit",
    "fit_picture",
    "image",
    "image_dataset_from_directory",
    "open_picture",
    "split",
]
