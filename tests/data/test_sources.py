"""Pictures in folders, in files and in a zip: what is found, in which order, and what is left out."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minicnn.data.errors import DataError
from minicnn.data.pictures.sources import PictureFiles, PictureZip, Skipped, class_folders
from minicnn.preprocessing import PictureError


def png(level: int) -> bytes:
    stream = io.BytesIO()
    Image.new("L", (4, 3), level).save(stream, "PNG")
    return stream.getvalue()


def folder_of(root: Path, names: list[str]) -> Path:
    for level, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(level))
    return root


NAMES = ["dog/b.png", "dog/a.PNG", "cat/2.jpg", "cat/10.jpg", "cat/deep/er.gif", "cat/Thumbs.db", "dog/._a.png"]
LEFT_OUT = [Skipped("cat/Thumbs.db", "no picture, as its name ends"), Skipped("dog/._a.png", "a hidden file")]


def test_class_folders_are_read_in_order(tmp_path):
    source = class_folders(folder_of(tmp_path, NAMES))
    assert source.names == ["cat/10.jpg", "cat/2.jpg", "cat/deep/er.gif", "dog/a.PNG", "dog/b.png"]
    assert source.class_names == ("cat", "dog")
    np.testing.assert_array_equal(source.labels, [0, 0, 0, 1, 1])
    assert source.skipped == LEFT_OUT
    assert source.open(4).getpixel((0, 0)) == 0
    assert source.paths[4] == str(tmp_path / "dog" / "b.png")


def test_classes_can_be_chosen_and_ordered(tmp_path):
    source = class_folders(folder_of(tmp_path, [*NAMES, "cow/1.png"]), ["dog", "cow"])
    assert source.names == ["dog/a.PNG", "dog/b.png", "cow/1.png"]
    np.testing.assert_array_equal(source.labels, [0, 0, 1])
    with pytest.raises(DataError, match="expected a sub-folder for each class, but there is no 'hen'"):
        class_folders(tmp_path, ["dog", "hen"])


def test_a_folder_without_classes(tmp_path):
    source = PictureFiles.listed(folder_of(tmp_path, [*NAMES, "top.png"]))
    assert source.names[0] == "top.png"
    assert source.labels is None
    assert len(source) == 6


def test_no_folder_and_a_file(tmp_path):
    with pytest.raises(DataError, match="gone: no such folder"):
        class_folders(tmp_path / "gone")
    with pytest.raises(DataError, match=r"x\.png: a file, not a folder"):
        PictureFiles.listed(folder_of(tmp_path, ["x.png"]) / "x.png")


@pytest.mark.skipif(not hasattr(os, "symlink") or os.name == "nt", reason="links need rights on Windows")
def test_links_are_followed_when_asked_and_never_for_ever(tmp_path):
    folder_of(tmp_path, ["set/cat/1.png", "elsewhere/2.png"])
    (tmp_path / "set/cat/more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set/cat/round").symlink_to(tmp_path / "set/cat")
    assert class_folders(tmp_path / "set").names == ["cat/1.png"]
    assert class_folders(tmp_path / "set", follow_links=True).names == ["cat/1.png", "cat/more/2.png"]


def test_labels_and_parts(tmp_path):
    source = PictureFiles.listed(folder_of(tmp_path, ["cat.0.png", "cat.1.png", "dog.0.png"]))
    labelled = source.labelled([name.startswith("dog") + 0 for name in source.names], ("cat", "dog"))
    part = labelled.subset([2, 0])
    assert part.names == ["dog.0.png", "cat.0.png"]
    np.testing.assert_array_equal(part.labels, [1, 0])
    assert part.open(0).getpixel((0, 0)) == 2
    assert source.labels is None
    with pytest.raises(ValueError, match="labelled: expected 3 whole numbers, one for each picture"):
        source.labelled([0, 1], ("cat", "dog"))
    with pytest.raises(ValueError, match="labelled: expected labels from 0 to 1, got 0 to 2"):
        source.labelled([0, 1, 2], ("cat", "dog"))


@pytest.fixture
def packed(tmp_path):
    path = tmp_path / "train.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for level, name in enumerate(["train/dog.1.png", "train/cat.0.png", "../up.png", "readme.txt", "train/"]):
            archive.writestr(name, b"" if name.endswith("/") else png(level))
    return path


def test_a_zip_is_read_where_it_is(packed):
    source = PictureZip(packed)
    assert source.names == ["train/cat.0.png", "train/dog.1.png"]
    assert source.skipped == [
        Skipped("../up.png", "its name leads out of the archive"),
        Skipped("readme.txt", "no picture, as its name ends"),
    ]
    assert [source.open(index).getpixel((0, 0)) for index in range(2)] == [1, 0]
    assert source.subset([1]).open(0).getpixel((0, 0)) == 0
    source.close()
    assert sorted(path.name for path in packed.parent.iterdir()) == ["train.zip"]


def test_a_damaged_member_is_named(packed, tmp_path):
    content = bytearray(packed.read_bytes())
    place = content.index(b"train/cat.0.png") + len("train/cat.0.png")
    content[place + 3 : place + 30] = bytes(27)
    packed.write_bytes(content)
    source = PictureZip(packed)
    with pytest.raises(PictureError, match=r"train\.zip/train/cat\.0\.png: damaged in the archive"):
        source.open(0)
    assert source.open(1).size == (4, 3)
    source.close()


@pytest.mark.parametrize("content", [None, b"", b"no zip"])
def test_no_zip(content, tmp_path):
    path = tmp_path / "x.zip"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"x\.zip: (no zip archive|no such file)"):
        PictureZip(path)
