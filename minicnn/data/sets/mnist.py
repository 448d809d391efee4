"""MNIST: handwritten digits, 60,000 for training and 10,000 for testing, 28x28 grey, white on black.

Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition", Proceedings of
the IEEE 86(11), 1998, section III.A.
"""

from __future__ import annotations

import os

from minicnn.data.sets.idx_dataset import Arrays, IdxDataset, Source, idx_files

CLASS_NAMES = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")

DATASET = IdxDataset(
    name="mnist",
    title="MNIST",
    files=idx_files(
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist",
        "https://storage.googleapis.com/cvdf-datasets/mnist",
    ),
    class_names=CLASS_NAMES,
)


def load_data(path: str | os.PathLike[str] | None = None) -> tuple[Arrays, Arrays]:
    """Load the digits, downloading them (11 MB) where they are not on this machine.

    Args:
        path: a folder that must have the four IDX files, directly or in its sub-folder ``mnist``. None looks in the
            folder ``$MINICNN_DATA`` names, then in the cache folder, then on the network.

    Returns:
        ((x_train, y_train), (x_test, y_test)): pictures uint8 (N, 28, 28), ink 255 on paper 0; labels uint8 (N,).

    Raises:
        DownloadError: not on this machine, and the network gave nothing.
        DataError: a file is missing, truncated or not the official one.
    """
    return DATASET.load(path)


def find(path: str | os.PathLike[str] | None = None) -> Source:
    """Say where `load_data` would take the digits from."""
    return DATASET.find(path)
