"""Any folder or archive with a sub-folder for each class; what a collection is like."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

from minicnn.data.errors import DataError
from minicnn.data.pictures.layout import places
from minicnn.data.pictures.survey import by_kind, survey
from minicnn.data.sets.collection import PictureArrays, labelled_by_folder, picture_source
from minicnn.data.sets.division import divide
from tests.data.pets import digest, packed, unpacked
from tests.data.zips import noise_bytes, picture_bytes

ROSES = {
    **{f"rose/{n}.png": picture_bytes(n) for n in range(4)},
    **{f"Tulip/deep/{n}.png": picture_bytes(n) for n in range(6)},
    "aster/0.png": picture_bytes(),
    "loose.png": picture_bytes(),
    "rose/notes.txt": b"text",
}


@pytest.mark.parametrize("place", ["folder", "zip"])
@pytest.mark.parametrize("above", ["", "flowers/"])
def test_classes_are_the_sorted_names_of_the_folders(tmp_path, place, above):
    files = {above + name: content for name, content in ROSES.items() if above == "" or name != "loose.png"}
    path = unpacked(tmp_path / "x", files) if place == "folder" else packed(tmp_path / "x.zip", files)
    source = labelled_by_folder(picture_source(path))
    assert source.class_names == ("Tulip", "aster", "rose")
    assert np.bincount(source.labels).tolist() == [6, 1, 4]
    assert all(source.class_names[label] in name for label, name in zip(source.labels, source.names, strict=True))
    reasons = {item.name: item.reason for item in source.skipped}
    assert reasons.pop(above + "rose/notes.txt")
    assert reasons == ({} if above else {"loose.png": "in no class folder"})


def test_parts_that_the_folders_name(tmp_path):
    files = {f"{part}/{kind}/{n}.png": picture_bytes() for part in ("train", "val") for kind in "ab" for n in range(3)}
    source = labelled_by_folder(picture_source(unpacked(tmp_path, files)))
    assert source.class_names == ("a", "b")
    parts = divide(source, [place.part for place in places(source.names)], None, None, balanced=False)
    assert [len(part) for part in parts] == [6, 6, 0]
    assert {name.split("/")[0] for name in parts.validation.names} == {"val"}


@pytest.mark.parametrize(
    ("files", "found"), [({"a.png": b"x"}, "none"), ({"a/1.png": b"x", "b/readme.txt": b"x"}, "only 'a'"), ({}, "none")]
)
def test_fewer_than_two_classes(tmp_path, files, found):
    with pytest.raises(DataError, match=f"one for each of at least two classes, but there is {found}"):
        labelled_by_folder(picture_source(unpacked(tmp_path, files)))


def test_no_collection(tmp_path):
    with pytest.raises(DataError, match="gone: no such folder or zip archive"):
        picture_source(tmp_path / "gone")
    (tmp_path / "x.png").write_bytes(picture_bytes())
    with pytest.raises(DataError, match=r"x\.png: no zip archive"):
        picture_source(tmp_path / "x.png")


def test_links_in_a_circle(tmp_path):
    unpacked(tmp_path, {"a/1.png": picture_bytes(), "b/1.png": picture_bytes()})
    try:
        (tmp_path / "a" / "again").symlink_to(tmp_path, target_is_directory=True)
    except OSError:
        pytest.skip("this system makes no links")
    assert len(picture_source(tmp_path)) == 2


def test_links_to_folders_elsewhere(tmp_path):
    unpacked(tmp_path / "elsewhere", {"1.png": picture_bytes(), "2.png": picture_bytes()})
    path = unpacked(tmp_path / "x", {"a/1.png": picture_bytes()})
    try:
        (path / "b").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    except OSError:
        pytest.skip("this system makes no links")
    source = labelled_by_folder(picture_source(path))
    assert source.names == ["a/1.png", "b/1.png", "b/2.png"] and source.class_names == ("a", "b")


def test_pictures_in_memory():
    x = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 3), np.uint8)
    source = PictureArrays(x, [1, 0, 1], ("cat", "dog"))
    assert source.class_names == ("cat", "dog") and source.labels.tolist() == [1, 0, 1]
    np.testing.assert_array_equal(np.asarray(source.subset([2]).open(0)), x[2])
    with pytest.raises(ValueError, match="expected 3 whole numbers"):
        PictureArrays(x, [1, 0], ("cat", "dog"))


@pytest.fixture
def mixed(tmp_path):
    """Pictures of several kinds, three broken ones, and a text."""
    files = {f"{n}.png": picture_bytes(size=(375, 500)) for n in range(3)}
    files |= {"4.png": picture_bytes(size=(20, 10)), "5.jpg": noise_bytes(0, (8, 8)), "readme.txt": b"text"}
    files |= {"6.jpg": noise_bytes(1, (90, 90))[:900], "7.jpg": b"", "8.png": b"<html>"}
    unpacked(tmp_path, files)
    Image.new("L", (8, 8)).save(tmp_path / "10.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (20, 10)).save(tmp_path / "11.jpg", exif=exif)
    Image.new("CMYK", (20, 10)).save(tmp_path / "9.jpg", exif=exif)
    return tmp_path


@pytest.mark.parametrize("workers", [0, 2])
def test_survey(mixed, workers):
    before = digest(mixed)
    found = survey(picture_source(mixed), workers)
    assert found.pictures == 8
    # The last two are stored lying, and turned upright by what their EXIF data says.
    assert found.sizes == {(375, 500): 3, (8, 8): 2, (20, 10): 3}
    assert found.sizes.most_common(1)[0][0] == (375, 500)
    assert found.aspects == {1.33: 3, 1.0: 2, 0.5: 3}
    assert found.shapes == {"landscape": 3, "portrait": 3, "square": 2}
    assert found.modes == {"RGB": 6, "CMYK": 1, "L": 1}
    assert found.formats == {"PNG": 4, "JPEG": 4}
    assert [item.name for item in found.broken] == ["6.jpg", "7.jpg", "8.png"]
    assert [(kind, len(items)) for kind, items in by_kind(found.broken)] == [
        ("not a picture, or of no known kind", 2),
        ("a damaged or truncated picture", 1),
    ]
    assert [item.name for item in found.others] == ["readme.txt"]
    assert digest(mixed) == before


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipes_and_folders_that_are_called_pictures(tmp_path):
    unpacked(tmp_path, {"a/1.png": picture_bytes(), "b/1.png": picture_bytes(), "b/x.jpg/2.png": picture_bytes()})
    os.mkfifo(tmp_path / "a" / "pipe.jpg")
    (tmp_path / "a" / "nowhere.jpg").symlink_to(tmp_path / "gone")
    source = labelled_by_folder(picture_source(tmp_path))
    assert source.class_names == ("a", "b")
    found = survey(source)
    assert found.pictures == 3
    assert [tuple(item) for item in found.broken] == [
        ("a/nowhere.jpg", "no such file"),
        ("a/pipe.jpg", "a device or a pipe, not a file"),
    ]
