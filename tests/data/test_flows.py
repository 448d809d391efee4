"""Pictures from folders and tables, as Keras gives them."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from minicnn.data.errors import DataError
from minicnn.preprocessing import image_dataset_from_directory
from minicnn.preprocessing.image import ImageDataGenerator, array_to_img, img_to_array, load_img, save_img
from minicnn.utils import image_dataset_from_directory as same_function
from tests.oracles import keras


def theirs() -> Any:
    keras()
    return importlib.import_module("keras.src.legacy.preprocessing.image").ImageDataGenerator


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for name, count in (("cat", 7), ("dog", 5), ("hen", 2)):
        (tmp_path / name).mkdir()
        for index in range(count):
            noise = random.integers(0, 256, (10 + index, 14 - index, 3)).astype(np.uint8)
            Image.fromarray(noise).save(tmp_path / name / f"{name}.{index}.png")
    return tmp_path


def whole(flow: Any) -> Any:
    """The batches of an epoch, each axis of them joined."""
    batches = list(flow.stream())
    if not isinstance(batches[0], tuple):
        return np.concatenate(batches)
    return tuple(np.concatenate(column) for column in zip(*batches, strict=True))


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"class_mode": "sparse", "color_mode": "grayscale", "interpolation": "bilinear"},
        {"class_mode": "binary", "classes": ["hen", "cat"], "color_mode": "rgba"},
        {"class_mode": None, "interpolation": "lanczos", "subset": "validation"},
        {"class_mode": "input", "keep_aspect_ratio": True, "subset": "training"},
    ],
    ids=lambda how: str(how.get("class_mode", "default")),
)
def test_a_folder_is_read_as_keras_reads_it(folder, how, capsys):
    how = {"target_size": (8, 6), "batch_size": 4, "shuffle": False, **how}
    ours, expected = (
        make(rescale=1 / 255, validation_split=0.4).flow_from_directory(str(folder), **how)
        for make in (ImageDataGenerator, theirs())
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == lines[1] == f"Found {expected.samples} images belonging to {expected.num_classes} classes."
    for name in ("samples", "n", "num_classes", "class_indices", "filenames", "filepaths", "batch_size", "class_mode",
                 "image_shape", "target_size", "color_mode"):  # fmt: skip
        assert getattr(ours, name) == getattr(expected, name), name
    np.testing.assert_array_equal(ours.classes, expected.classes)
    assert len(ours) == len(expected)
    for index in range(len(expected)):
        batches = [batch if isinstance(batch, tuple) else (batch,) for batch in (ours[index], expected[index])]
        for mine, keras_own in zip(*batches, strict=True):
            assert (mine.shape, mine.dtype) == (keras_own.shape, keras_own.dtype)
            np.testing.assert_allclose(mine, keras_own, rtol=0, atol=1e-6)


def test_changed_pictures_of_a_folder_are_those_of_the_generator(folder):
    generator = ImageDataGenerator(rotation_range=90, horizontal_flip=True, data_format="channels_first")
    first, again = (whole(generator.flow_from_directory(folder, (9, 9), seed=3, verbose=False)) for _ in range(2))
    assert first[0].shape == (14, 3, 9, 9)
    for mine, same in zip(first, again, strict=True):
        np.testing.assert_array_equal(mine, same)
    plain = whole(ImageDataGenerator().flow_from_directory(folder, (9, 9), seed=3, verbose=False))
    np.testing.assert_array_equal(plain[1], first[1])
    assert not np.array_equal(plain[0], first[0].transpose(0, 2, 3, 1))


def test_pictures_to_validate_on_are_only_standardised(folder):
    generator = ImageDataGenerator(rotation_range=180, validation_split=0.4)
    how = {"target_size": (9, 9), "shuffle": False, "subset": "validation", "verbose": False}
    plain = ImageDataGenerator(validation_split=0.4)
    table = [(f"cat/cat.{index}.png", "cat") for index in range(7)]
    for take in (lambda make: make.flow_from_directory(folder, **how),
                 lambda make: make.flow_from_dataframe(table, folder, **how)):  # fmt: skip
        np.testing.assert_array_equal(take(generator)[0][0], take(plain)[0][0])


def test_folders_and_arguments_that_do_not_fit(folder):
    generator = ImageDataGenerator(validation_split=0.2)
    with pytest.raises(DataError, match="there is no 'cow'"):
        generator.flow_from_directory(folder, classes=["cow"])
    with pytest.raises(ValueError, match="class_mode: 'binary' needs 2 classes, got 3"):
        generator.flow_from_directory(folder, class_mode="binary")
    with pytest.raises(ValueError, match=r"size: expected \(height, width\)"):
        generator.flow_from_directory(folder, target_size=150)
    with pytest.raises(ValueError, match="flow_from_directory: save_to_dir='x' is not supported"):
        generator.flow_from_directory(folder, save_to_dir="x")
    with pytest.raises(TypeError, match="unexpected keyword argument 'wokers'"):
        generator.flow_from_directory(folder, wokers=3)


# ---------------------------------------------------------------------------------------------- tables


class Frame:
    """As much of a pandas DataFrame as is used of it."""

    def __init__(self, columns: dict[str, list[Any]]) -> None:
        self.columns = list(columns)
        self._columns = columns

    def __getitem__(self, name: str) -> np.ndarray:
        return np.array(self._columns[name], dtype=object)


TABLE = {
    "filename": ["cat/cat.0.png", "dog/dog.1.png", "gone.png", "cat/cat.3.png", "notes.txt", "hen/hen.0.png"],
    "class": ["cat", "dog", "cat", "cat", "dog", "hen"],
    "age": [1, 2, 3, 4, 5, 6],
    "height": [0.5, 0.25, 0.125, 1.0, 2.0, 3.0],
}


@pytest.mark.parametrize("form", ["dictionary", "frame", "pairs"])
def test_tables_of_any_form(folder, form, capsys):
    table = {
        "dictionary": TABLE,
        "frame": Frame(TABLE),
        "pairs": list(zip(TABLE["filename"], TABLE["class"], strict=True)),
    }[form]
    flow = ImageDataGenerator().flow_from_dataframe(table, folder, target_size=(8, 8), shuffle=False)
    assert capsys.readouterr().out == "Found 4 validated image filenames belonging to 3 classes.\n"
    assert flow.filenames == ["cat/cat.0.png", "dog/dog.1.png", "cat/cat.3.png", "hen/hen.0.png"]
    assert flow.class_indices == {"cat": 0, "dog": 1, "hen": 2}
    assert [tuple(skipped) for skipped in flow.skipped] == [
        ("gone.png", "no such file"), ("notes.txt", "no picture, as its name ends"),
    ]  # fmt: skip
    x, y = whole(flow)
    np.testing.assert_array_equal(y, np.eye(3)[[0, 1, 0, 2]].astype(np.float32), strict=True)
    np.testing.assert_array_equal(x[0], img_to_array(load_img(folder / "cat/cat.0.png", target_size=(8, 8))))


def flow(folder: Path, table: Any = TABLE, **how: Any) -> Any:
    how = {"target_size": (8, 8), "shuffle": False, "verbose": False, **how}
    return ImageDataGenerator(validation_split=0.5).flow_from_dataframe(table, folder, **how)


def test_class_modes_of_tables(folder):
    np.testing.assert_array_equal(whole(flow(folder, class_mode="sparse"))[1], [0, 1, 0, 2])
    two = flow(folder, class_mode="binary", classes=["hen", "cat"])
    assert two.filenames == ["cat/cat.0.png", "cat/cat.3.png", "hen/hen.0.png"]
    np.testing.assert_array_equal(whole(two)[1], np.array([1, 1, 0], np.float32), strict=True)
    assert whole(flow(folder, class_mode=None)).shape == (4, 8, 8, 3)
    np.testing.assert_array_equal(*whole(flow(folder, class_mode="input")))
    np.testing.assert_array_equal(whole(flow(folder, class_mode="raw", y_col="age"))[1], [1, 2, 4, 6])
    both = whole(flow(folder, class_mode="raw", y_col=["age", "height"]))[1]
    np.testing.assert_array_equal(both, [[1, 0.5], [2, 0.25], [4, 1], [6, 3]])
    assert whole(flow(folder, class_mode="raw", y_col=["age"]))[1].shape == (4, 1)
    ages, heights = next(flow(folder, class_mode="multi_output", y_col=["age", "height"]))[1]
    np.testing.assert_array_equal(ages, [1, 2, 4, 6])
    np.testing.assert_array_equal(heights, [0.5, 0.25, 1, 3])
    many = {"filename": TABLE["filename"][:2], "class": [["cat", "pet"], ["dog", "pet"]]}
    np.testing.assert_array_equal(whole(flow(folder, many))[1], [[1, 0, 1], [0, 1, 1]])


def test_weights_parts_and_files_not_looked_for(folder):
    x, y, weights = whole(flow(folder, weight_col="height"))
    np.testing.assert_array_equal(weights, [0.5, 0.25, 1, 3])
    assert flow(folder, subset="validation").filenames == ["cat/cat.0.png", "dog/dog.1.png"]
    assert flow(folder, subset="training").filenames == ["cat/cat.3.png", "hen/hen.0.png"]
    unlooked = flow(folder, validate_filenames=False)
    assert len(unlooked.filenames) == 5
    assert len(whole(unlooked)[0]) == 4
    assert ("gone.png", "no such file") in [tuple(skipped) for skipped in unlooked.skipped]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"y_col": "breed"}, ValueError, r"there is no column 'breed'; the columns are \['filename', 'class', 'age'"),
        ({"y_col": "age"}, TypeError, "column 'age': expected class names as text, got 1"),
        ({"x_col": "age"}, TypeError, "column 'age': expected file names, got 1"),
        ({"weight_col": "class"}, TypeError, "column 'class': expected numbers, got 'cat'"),
        ({"class_mode": "multi_output"}, TypeError, "y_col: expected a list of columns for class_mode 'multi_output'"),
        ({"class_mode": "other"}, ValueError, "class_mode: expected one of .* got 'other'"),
        ({"class_mode": "binary"}, ValueError, "class_mode: 'binary' needs 2 classes, got 3"),
        ({"table": [("a.png",)]}, ValueError, r"expected rows of \['filename', 'class'\], got \('a.png',\)"),
        ({"table": {"filename": ["a"], "class": []}}, ValueError, "expected columns of one length, got"),
    ],
)
def test_tables_and_arguments_that_do_not_fit(folder, arguments, error, message):
    with pytest.raises(error, match=message):
        flow(folder, **arguments)


# -------------------------------------------------------------------------------------------- datasets


def test_a_dataset_of_a_folder(folder, capsys):
    assert same_function is image_dataset_from_directory
    dataset = image_dataset_from_directory(folder, image_size=(6, 6), batch_size=5, shuffle=False)
    assert capsys.readouterr().out == "Found 14 files belonging to 3 classes.\n"
    assert dataset.class_names == ["cat", "dog", "hen"]
    assert dataset.file_paths[0] == str(folder / "cat" / "cat.0.png")
    batches = list(dataset)
    assert [(x.shape, x.dtype) for x, _ in batches] == [((n, 6, 6, 3), np.float32) for n in (5, 5, 4)]
    expected = np.repeat([0, 1, 2], [7, 5, 2]).astype(np.int32)
    np.testing.assert_array_equal(np.concatenate([y for _, y in batches]), expected, strict=True)
    assert len(list(dataset)) == 3, "every loop is an epoch"


def dataset(folder: Path, **how: Any) -> Any:
    return image_dataset_from_directory(folder, **{"image_size": 6, "verbose": False, "shuffle": False, **how})


def test_labels_of_datasets(folder):
    two = whole(dataset(folder, label_mode="binary", class_names=["hen", "dog"]))[1]
    np.testing.assert_array_equal(two, np.repeat([[0], [1]], [2, 5], axis=0).astype(np.float32), strict=True)
    one_hot = whole(dataset(folder, label_mode="categorical"))[1]
    np.testing.assert_array_equal(one_hot, np.eye(3, dtype=np.float32)[np.repeat([0, 1, 2], [7, 5, 2])], strict=True)
    for no_labels in ({"labels": None}, {"label_mode": None}):
        assert whole(dataset(folder, **no_labels)).shape == (14, 6, 6, 3)
    named = dataset(folder, labels=[index % 2 for index in range(14)])
    np.testing.assert_array_equal(whole(named)[1], np.arange(14) % 2)
    assert named.class_names == ["0", "1"]


def test_datasets_are_cut_as_keras_cuts_them(folder):
    index = importlib.import_module("keras.src.utils.dataset_utils")
    for shuffle in (False, True):
        paths, labels, _ = index.index_directory(
            str(folder), "inferred", (".png",), shuffle=shuffle, seed=9, verbose=False
        )
        both = dataset(folder, validation_split=0.3, subset="both", shuffle=shuffle, seed=9)
        for part, cut in zip(both, (slice(None, -4), slice(-4, None)), strict=True):
            assert part.file_paths == paths[cut]
            np.testing.assert_array_equal(part.classes, labels[cut])
        alone = dataset(folder, validation_split=0.3, subset="validation", shuffle=shuffle, seed=9)
        assert alone.file_paths == both[1].file_paths


def test_sizes_of_datasets(tmp_path):
    (tmp_path / "x" / "a").mkdir(parents=True)
    Image.new("RGB", (20, 10), (90, 90, 90)).save(tmp_path / "x" / "a" / "x.png")
    padded = dataset(tmp_path / "x", pad_to_aspect_ratio=True)[0][0][0]
    np.testing.assert_array_equal(padded[:, 0, 0], [0, 90, 90, 90, 0, 0])
    np.testing.assert_array_equal(dataset(tmp_path / "x", crop_to_aspect_ratio=True)[0][0], 90)
    assert dataset(tmp_path / "x", color_mode="rgba", data_format="channels_first")[0][0].shape == (1, 4, 6, 6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labels": "given"}, "labels: expected one of 'inferred', got 'given'"),
        ({"label_mode": "sparse"}, "label_mode: expected one of 'int', 'categorical', 'binary', None, got 'sparse'"),
        ({"labels": [1, 2]}, "labelled: expected 14 whole numbers"),
        (
            {"labels": None, "class_names": ["cat"]},
            "class_names: names sub-folders, and so goes with labels='inferred'",
        ),
        ({"validation_split": 0.2}, "validation_split and subset go together"),
        (
            {"validation_split": 2.0, "subset": "both"},
            "validation_split: expected a share above 0 and below 1, got 2.0",
        ),
        ({"validation_split": 0.2, "subset": "both", "shuffle": True}, "with shuffle=True needs a seed"),
        ({"validation_split": 0.01, "subset": "both"}, "0.01 of 14 pictures leaves none for validation"),
        ({"crop_to_aspect_ratio": True, "pad_to_aspect_ratio": True}, "expected one of crop_to_aspect_ratio and pad"),
        ({"interpolation": "hamming"}, "interpolation: expected one of 'bilinear', 'nearest', .* got 'hamming'"),
        ({"batch_size": None}, "batch_size: expected a whole number of at least 1, got None"),
    ],
)
def test_arguments_of_datasets_that_do_not_fit(folder, arguments, message):
    with pytest.raises(ValueError, match=message):
        dataset(folder, **arguments)


# ---------------------------------------------------------------------------------------------- images


def test_images_and_arrays(folder, tmp_path):
    path = folder / "cat" / "cat.2.png"
    expected = keras().utils.img_to_array(keras().utils.load_img(path, target_size=(5, 7), interpolation="bilinear"))
    x = img_to_array(load_img(path, target_size=(5, 7), interpolation="bilinear"))
    np.testing.assert_array_equal(x, expected, strict=True)
    np.testing.assert_array_equal(img_to_array(load_img(path), "channels_first").transpose(1, 2, 0), Image.open(path))
    assert img_to_array(load_img(path, "grayscale")).shape == (12, 12, 1)
    for scale in (True, False):
        np.testing.assert_array_equal(array_to_img(x, scale=scale), keras().utils.array_to_img(x, scale=scale))
    save_img(tmp_path / "y.png", x, scale=False)
    np.testing.assert_array_equal(img_to_array(load_img(tmp_path / "y.png")), x)
    save_img(tmp_path / "y.jpg", np.zeros((4, 4, 4)))
    assert load_img(tmp_path / "y.jpg").size == (4, 4)
    for wrong, message in [(np.zeros((4, 4, 2)), r"got \(4, 4, 2\)"), (np.full((4, 4, 1), np.nan), "NaN or infinity")]:
        with pytest.raises(ValueError, match=f"array_to_img: expected .*{message}"):
            array_to_img(wrong)
    with pytest.raises(ValueError, match=r"img_to_array: expected an image of two or three axes, got shape \(3,\)"):
        img_to_array(np.zeros(3))
