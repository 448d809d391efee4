"""What can be wrong with data that came from outside."""

from __future__ import annotations


class DataError(ValueError):
    """A data file is missing, damaged or not what it should be."""


class DownloadError(DataError):
    """The data is not on this machine and no mirror delivered it."""


class PictureError(DataError):
    """A picture cannot be read, or what is on it cannot be used."""
