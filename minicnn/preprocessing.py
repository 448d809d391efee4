"""From a picture to what a network takes."""

from __future__ import annotations

from minicnn.data.digits import fit_digit
from minicnn.data.errors import PictureError
from minicnn.data.fitting import fit_picture
from minicnn.data.labels import split
from minicnn.data.pictures import open_picture
from minicnn.data.preprocessing import Preprocessing

__all__ = ["PictureError", "Preprocessing", "fit_digit", "fit_picture", "open_picture", "split"]
