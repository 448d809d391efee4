"""From a picture to what a network takes."""

from __future__ import annotations

from minicnn.data.digits import fit_digit
from minicnn.data.errors import PictureError
from minicnn.data.fitting import fit_picture
from minicnn.data.image_dataset import image_dataset_from_directory
from minicnn.data.labels import split
from minicnn.data.pictures import open_picture
from minicnn.data.preprocessing import Preprocessing
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
