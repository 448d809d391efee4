"""Pictures, folders of them, and random changes to them, under the names Keras gives them."""

from __future__ import annotations

from minicnn.data.batches.array_iterator import NumpyArrayIterator
from minicnn.data.batches.batch_iterator import BatchIterator as Iterator
from minicnn.data.batches.dataframe_iterator import DataFrameIterator
from minicnn.data.batches.directory_iterator import DirectoryIterator
from minicnn.data.batches.image_data_generator import ImageDataGenerator
from minicnn.data.batches.image_dataset import image_dataset_from_directory
from minicnn.data.batches.transforms import apply_affine_transform, apply_brightness_shift, apply_channel_shift
from minicnn.data.pictures.images import array_to_img, img_to_array, load_img, save_img

__all__ = [
    "DataFrameIterator",
    "DirectoryIterator",
    "ImageDataGenerator",
    "Iterator",
    "NumpyArrayIterator",
    "apply_affine_transform",
    "apply_brightness_shift",
    "apply_channel_shift",
    "array_to_img",
    "image_dataset_from_directory",
    "img_to_array",
    "load_img",
    "save_img",
]
