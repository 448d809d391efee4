"""Fashion-MNIST: articles of clothing in MNIST's format, 60,000 for training and 10,000 for testing.

H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms",
arXiv:1708.07747, 2017.
"""

from __future__ import annotations

import os

from minicnn.data.sets.idx_dataset import Arrays, IdxDataset, Source, idx_files

CLASS_NAMES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip

DATASET = IdxDataset(
    name="fashion-mnist",
    title="Fashion-MNIST",
    files=idx_files(
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
    mirrors=(
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
    ),
    class_names=CLASS_NAMES,
)


def load_data(path: str | os.PathLike[str] | None = None) -> tuple[Arrays, Arrays]:
    """Load the articles of clothing, downloading them (30 MB) where they are not on this machine.

    Args:
        path: a folder that must have the four IDX files, directly or in its sub-folder ``fashion-mnist``. None looks in
            the folder ``$MINICNN_DATA`` names, then in the cache folder, then on the network.

    Returns:
        ((x_train, y_train), (x_test, y_test)): pictures uint8 (N, 28, 28), cloth bright on 0; labels uint8 (N,).

    Raises:
        DownloadError: not on this machine, and the network gave nothing.
        DataError: a file is missing, truncated or not the official one.
    """
    return DATASET.load(path)


def find(path: str | os.PathLike[str] | None = None) -> Source:
    """Say where `load_data` would take the pictures from."""
    return DATASET.find(path)
