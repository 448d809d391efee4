"""Dogs vs. Cats: found in every usual layout, labelled by name, divided without overlap, broken pictures reported."""

from __future__ import annotations

import hashlib
import io
import os

import numpy as np
import pytest
from PIL import Image

from minicnn.data.errors import DataError, DownloadError
from minicnn.data.pictures.archive import Archive
from minicnn.data.sets import dogs_vs_cats
from tests import real_data
from tests.data.pets import below, by_folder, digest, flat, packed, pet_bytes, unpacked

REAL = os.environ.get("MINICNN_DATA")
LAYOUTS = {
    "flat": flat(4),
    "Kaggle's": below("train", flat(4)),
    "Microsoft's": {**below("PetImages", by_folder(4)), "readme[1].txt": b"text", "PetImages/Cat/Thumbs.db": b"thumbs"},
    "lower-case folders": by_folder(4, "cats", "dogs"),
    "train and test": {**below("train", flat(4)), **below("test", {"1.jpg": pet_bytes("cat", 1)})},
}


@pytest.fixture(autouse=True)
def nowhere_else(tmp_path, monkeypatch):
    """No data but the test's own."""
    monkeypatch.delenv("MINICNN_DATA", raising=False)
    monkeypatch.setenv("MINICNN_CACHE", str(tmp_path / "cache"))


def mean_colours_fit(source):
    """Whether cats are red and dogs are blue, going by the labels."""
    for index in range(len(source)):
        red, _, blue = np.asarray(source.open(index), float).mean(axis=(0, 1))
        if (red > blue) != (source.class_names[source.labels[index]] == "cat"):
            return False
    return True


@pytest.mark.parametrize("place", ["folder", "zip"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(tmp_path, layout, place):
    files = LAYOUTS[layout]
    path = unpacked(tmp_path / "pets", files) if place == "folder" else packed(tmp_path / "pets.zip", files)
    source = dogs_vs_cats.pictures(path)
    assert source.class_names == ("cat", "dog")
    assert len(source) == 8 and source.labels.sum() == 4
    assert mean_colours_fit(source)
    expected = {"Microsoft's": {"Thumbs.db", "readme[1].txt"}, "train and test": {"1.jpg"}}.get(layout, set())
    assert {item.name.rsplit("/")[-1] for item in source.skipped} == expected


@pytest.mark.parametrize("above", ["cat", "Cats/of the house", "catalogue/dogs", "dogs/train"])
@pytest.mark.parametrize("files", [flat(3), by_folder(3)], ids=["flat", "folders"])
def test_nothing_above_the_folder_matters(tmp_path, above, files):
    source = dogs_vs_cats.pictures(unpacked(tmp_path / above, files))
    assert source.labels.sum() == 3 and mean_colours_fit(source)


def test_a_folder_called_cat_within(tmp_path):
    """The file's own name comes first; a name that only contains "cat" is none."""
    files = {
        **below("cat", flat(3)),
        "cat/vacation/9.jpg": pet_bytes("cat", 9),
        "dogs I met/7.jpg": pet_bytes("dog", 7),
    }
    source = dogs_vs_cats.pictures(unpacked(tmp_path, files))
    assert mean_colours_fit(source) and len(source) == 7
    assert [tuple(item) for item in source.skipped] == [
        ("dogs I met/7.jpg", "neither its name nor its folder says cat or dog")
    ]


def test_the_positive_class(tmp_path):
    path = unpacked(tmp_path, flat(3))
    dogs, cats = dogs_vs_cats.pictures(path), dogs_vs_cats.pictures(path, positive="cat")
    assert cats.class_names == ("dog", "cat")
    np.testing.assert_array_equal(cats.labels, 1 - dogs.labels)
    with pytest.raises(ValueError, match="expected positive 'cat' or 'dog', got 'horse'"):
        dogs_vs_cats.pictures(path, positive="horse")


def test_where_it_is_looked_for(tmp_path, monkeypatch):
    assert dogs_vs_cats.find().kind == "absent"
    assert str(dogs_vs_cats.find()) == "Dogs vs. Cats, not on this machine"
    cached = packed(tmp_path / "cache" / "dogs-vs-cats" / "train.zip", below("train", flat(2)))
    assert (dogs_vs_cats.find().kind, dogs_vs_cats.find().folder) == ("cache", cached)
    own = unpacked(tmp_path / "data" / "dogs_vs_cats", by_folder(2))
    monkeypatch.setenv("MINICNN_DATA", str(tmp_path / "data"))
    assert (dogs_vs_cats.find().kind, dogs_vs_cats.find().folder) == ("environment", own)
    for path in (tmp_path / "cache", tmp_path / "cache" / "dogs-vs-cats", cached):
        assert (dogs_vs_cats.find(path).kind, dogs_vs_cats.find(path).folder) == ("folder", cached)
    assert len(dogs_vs_cats.pictures()) == 4


def test_not_there(tmp_path):
    with pytest.raises(
        DataError, match=r"neither in \$MINICNN_DATA nor in the cache: `minicnn data fetch dogs-vs-cats`"
    ):
        dogs_vs_cats.pictures()
    with pytest.raises(DataError, match=r"gone\.zip: no such folder or zip archive"):
        dogs_vs_cats.pictures(tmp_path / "gone.zip")
    with pytest.raises(DataError, match=r"roses: there are no cats, or no dogs: expected pictures called cat\.N\.jpg"):
        dogs_vs_cats.pictures(unpacked(tmp_path / "roses", {"a.jpg": b"x"}))
    with pytest.raises(DataError, match=r"cats\.zip: there are no cats, or no dogs"):
        dogs_vs_cats.pictures(packed(tmp_path / "cats.zip", {"cat.1.jpg": b"x"}))
    with pytest.raises(DataError, match=r"Dog; unpack nested\.zip first, which has a\.zip, b\.zip in it"):
        dogs_vs_cats.pictures(packed(tmp_path / "nested.zip", {"a.zip": b"x", "b.zip": b"x"}))


def test_parts_share_nothing_and_are_balanced(tmp_path):
    path = unpacked(tmp_path, flat(10))
    parts = dogs_vs_cats.load(path, 8, 6, 4, seed=1)
    names = [name for part in parts for name in part.names]
    assert [len(part) for part in parts] == [8, 6, 4] and len(set(names)) == 18
    assert [int(part.labels.sum()) for part in parts] == [4, 3, 2]
    assert all(mean_colours_fit(part) for part in parts)
    archive = packed(tmp_path / "x" / "train.zip", below("train", flat(10)))
    for part, other in zip(parts, dogs_vs_cats.load(archive, 8, 6, 4, seed=1), strict=True):
        assert other.names == [f"train/{name}" for name in part.names]
    rest = dogs_vs_cats.load(path, None, 6, 4, seed=1)
    assert len(rest.train) == 10 and set(parts.train.names) <= set(rest.train.names)
    assert rest.validation.names == parts.validation.names
    with pytest.raises(ValueError, match="need 12 of 'cat', but there are 10"):
        dogs_vs_cats.load(path, 16, 8)


def test_folders_that_divide_already(tmp_path):
    files = {**below("train", by_folder(6)), **below("validation", by_folder(3)), **below("test", flat(2))}
    parts = dogs_vs_cats.load(unpacked(tmp_path, files), None, None, None)
    assert [len(part) for part in parts] == [12, 6, 4]
    assert [{name.split("/")[0] for name in part.names} for part in parts] == [{"train"}, {"validation"}, {"test"}]
    with pytest.raises(ValueError, match="need 4 of 'cat', but there are 3"):
        dogs_vs_cats.load(tmp_path, 12, 8)


@pytest.mark.parametrize("fitting", ["squeeze", "crop", "pad"])
def test_into_memory(tmp_path, fitting):
    path = unpacked(tmp_path, flat(6))
    (x, y), (x_test, y_test) = dogs_vs_cats.load_data(path, 8, 4, (10, 10), fitting=fitting)
    assert x.shape == (8, 10, 10, 3) and x_test.shape == (4, 10, 10, 3)
    assert x.dtype == y.dtype == np.uint8 and y.tolist() == [0] * 4 + [1] * 4 and y_test.sum() == 2
    assert ((x[..., 0].mean(axis=(1, 2)) > x[..., 2].mean(axis=(1, 2))) == (y == 0)).all()
    # 12 x 16 pictures keep their shape where they are padded: black above and below.
    assert (x[:, 0].max() < 5) == (fitting == "pad")


def test_broken_pictures_are_left_out_and_reported(tmp_path, capsys):
    files = {
        **flat(5),
        "cat.7.jpg": b"",
        "dog.7.jpg": pet_bytes("dog", 7)[:200],
        "dog.8.jpg": b"<html>",
        "dog.9.jpg/x": b"",
    }
    path = unpacked(tmp_path / "pets", files)
    before = digest(path)
    (x, y), _ = dogs_vs_cats.load_data(path, None, 0, (8, 8))
    assert len(x) == 10 and y.sum() == 5
    assert "Skipped 4 files" in capsys.readouterr().out
    assert digest(path) == before


def test_every_kind_of_picture_comes_in_right(tmp_path):
    """Upper half bright, lower half dark, however it is stored."""
    half = np.repeat(np.array([250, 5], np.uint8), 20)[:, None] * np.ones((40, 40), np.uint8)
    image = Image.fromarray(half)
    exif = Image.Exif()
    exif[0x0112] = 6
    clear = image.convert("RGBA")
    clear.putalpha(Image.fromarray(np.where(half > 100, 0, 255).astype(np.uint8)))
    clear.paste((0, 0, 0, 0), (0, 0, 40, 20))
    kinds = {
        "cat.0.jpg": (image, {"format": "JPEG"}),
        "cat.1.png": (image.convert("RGB"), {}),
        "cat.2.png": (clear, {}),
        "cat.3.jpg": (image.convert("RGB").convert("CMYK"), {}),
        "dog.0.png": (Image.fromarray(half.astype(np.uint16) * 257), {}),
        "dog.1.jpg": (image.rotate(90), {"exif": exif}),
        "dog.2.gif": (image.convert("P"), {"save_all": True, "append_images": [Image.new("P", (40, 40))]}),
        "dog.3.jpg": (image, {"format": "PNG"}),
    }
    for name, (picture, options) in kinds.items():
        picture.save(tmp_path / name, **options)
    (x, y), _ = dogs_vs_cats.load_data(tmp_path, 8, 0, (20, 20))
    assert len(x) == 8 and y.sum() == 4
    assert (x[:, :9].mean(axis=(1, 2, 3)) > 235).all() and (x[:, 11:].mean(axis=(1, 2, 3)) < 20).all()


def test_the_real_set(monkeypatch):
    if REAL is None:
        real_data.missing("MINICNN_DATA is not set")
    monkeypatch.setenv("MINICNN_DATA", REAL)
    if dogs_vs_cats.find().kind == "absent":
        real_data.missing("dogs-vs-cats is not in $MINICNN_DATA")
    parts = dogs_vs_cats.load()
    assert [len(part) for part in parts] == [20_000, 5_000, 0]
    assert [int(part.labels.sum()) for part in parts[:2]] == [10_000, 2_500]
    assert not set(parts.train.names) & set(parts.validation.names)
    for part in parts[:2]:
        named = ["dog." in name for name in part.names]
        np.testing.assert_array_equal(part.labels, named)
    assert np.asarray(parts.validation.open(4_999)).shape == (150, 150, 3)


def test_bytes_are_not_needed_to_divide(tmp_path, monkeypatch):
    path = packed(tmp_path / "train.zip", flat(3))
    monkeypatch.setattr(Archive, "read", lambda self, name: pytest.fail(f"{name} was read"))
    assert len(dogs_vs_cats.load(path, 4, 2).train) == 4


def test_pictures_from_an_archive_can_be_read_after_the_division(tmp_path):
    parts = dogs_vs_cats.load(packed(tmp_path / "train.zip", flat(3)), 4, 2)
    assert Image.open(io.BytesIO(parts.train.content(0).read())).size == (16, 12)


def test_fetched_once_and_only_if_it_is_the_right_one(tmp_path, monkeypatch, mirror):
    content = packed(tmp_path / "x.zip", by_folder(3)).read_bytes()
    mirror.files["kagglecatsanddogs_5340.zip"] = content
    monkeypatch.setattr(dogs_vs_cats, "MIRRORS", (mirror.url("good") + "/",))
    with pytest.raises(DownloadError, match=r"not Microsoft's archive: expected sha256 b7974bd00a84a999\.\.\., got"):
        dogs_vs_cats.fetch()
    assert dogs_vs_cats.find().kind == "absent"
    monkeypatch.setattr(dogs_vs_cats, "SHA256", hashlib.sha256(content).hexdigest())
    assert dogs_vs_cats.fetch() == tmp_path / "cache" / "dogs-vs-cats" / "kagglecatsanddogs_5340.zip"
    assert len(dogs_vs_cats.pictures()) == 6
    assert [path.name for path in dogs_vs_cats.find().folder.parent.iterdir()] == ["kagglecatsanddogs_5340.zip"]
