"""Where data sets are looked for, and what is said when their files are not right."""

from __future__ import annotations

import gzip
import hashlib
import sys
from pathlib import Path

import numpy as np
import pytest

from minicnn import datasets
from minicnn.data.errors import DataError
from minicnn.data.sets import idx_dataset
from minicnn.data.sets.cache import cache_folder
from tests import real_data
from tests.data.conftest import idx_bytes

IMAGES, LABELS = "train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"


@pytest.fixture
def folder(tmp_path, packed) -> Path:
    """A folder with the sub-folder tiny-digits."""
    return filled(tmp_path / "data", packed)


def filled(folder: Path, packed) -> Path:
    (folder / "tiny-digits").mkdir(parents=True)
    for name, content in packed.items():
        (folder / "tiny-digits" / name).write_bytes(content)
    return folder


def test_an_explicit_folder(dataset, folder, arrays, monkeypatch):
    monkeypatch.setenv("MINICNN_DATA", "/nowhere")
    for path in (folder, str(folder), folder / "tiny-digits"):
        source = dataset().find(path)
        assert (source.kind, source.folder) == ("folder", folder / "tiny-digits")
        assert str(source) == f"Tiny digits from {folder / 'tiny-digits'}"
        (x_train, _), (_, y_test) = dataset().load(path)
        np.testing.assert_array_equal(x_train, arrays[0])
        np.testing.assert_array_equal(y_test, arrays[3])


def test_the_environment_comes_before_the_cache(dataset, folder, packed, monkeypatch):
    filled(cache_folder(), packed)
    assert dataset().find().kind == "cache"
    assert str(dataset().find()).endswith("(cache)")
    for path in (folder, folder / "tiny-digits"):
        monkeypatch.setenv("MINICNN_DATA", str(path))
        assert dataset().find().kind == "environment"
        assert str(dataset().find()).endswith("($MINICNN_DATA)")
    monkeypatch.setenv("MINICNN_DATA", str(folder / "empty"))
    assert dataset().find().kind == "cache"


def test_to_be_downloaded(dataset):
    source = dataset().find()
    assert source.kind == "download"
    assert "to be downloaded to" in str(source)
    assert not cache_folder().exists()


@pytest.mark.parametrize("name", [IMAGES, "train-images.idx3-ubyte", "train-images.idx3-ubyte.gz"])
def test_unpacked_and_other_spellings(dataset, folder, arrays, packed, name):
    content = packed[IMAGES + ".gz"]
    (folder / "tiny-digits" / (IMAGES + ".gz")).unlink()
    (folder / "tiny-digits" / name).write_bytes(content if name.endswith("gz") else gzip.decompress(content))
    np.testing.assert_array_equal(dataset().load(folder)[0][0], arrays[0])


def test_an_unpacked_file_that_kept_its_name(dataset, folder, arrays):
    (folder / "tiny-digits" / (IMAGES + ".gz")).write_bytes(idx_bytes(arrays[0]))
    np.testing.assert_array_equal(dataset().load(folder)[0][0], arrays[0])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda plain: gzip.compress(plain)[:-5000], "truncated gzip file"),
        (lambda plain: gzip.compress(plain[:-7]), "truncated: expected 47,056 bytes unpacked, got 47,049"),
        (lambda plain: plain[:100], "truncated: expected 47,056 bytes unpacked, got 100"),
        (lambda plain: gzip.compress(plain + b"x"), "too long: expected 47,056 bytes unpacked, got more than"),
        (lambda plain: gzip.compress(bytes(10**8)), "too long|truncated"),
        (lambda plain: plain[:-1] + bytes([plain[-1] ^ 1]), "not the official file: expected sha256"),
        (lambda plain: b"", "truncated: expected 47,056 bytes unpacked, got 0"),
    ],
)
def test_damaged_files(dataset, folder, arrays, damage, message):
    path = folder / "tiny-digits" / (IMAGES + ".gz")
    path.write_bytes(damage(idx_bytes(arrays[0])))
    with pytest.raises(DataError, match=message) as caught:
        dataset().load(folder)
    assert str(path) in str(caught.value)
    assert "Delete it" not in str(caught.value)


def test_a_damaged_file_in_the_cache_names_the_cure(dataset, packed):
    filled(cache_folder(), packed)
    (cache_folder() / "tiny-digits" / (LABELS + ".gz")).write_bytes(b"rubbish")
    with pytest.raises(DataError, match=r"truncated.*\. Delete it, and it will be downloaded again"):
        dataset().load()


def test_an_incomplete_folder(dataset, folder, monkeypatch):
    (folder / "tiny-digits" / (LABELS + ".gz")).unlink()
    with pytest.raises(DataError, match=f"Tiny digits is incomplete: {LABELS} missing"):
        dataset().find(folder)
    monkeypatch.setenv("MINICNN_DATA", str(folder))
    with pytest.raises(DataError, match="incomplete"):
        dataset().find()


def test_a_folder_without_it(dataset, tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        dataset().find(tmp_path / "gone")
    with pytest.raises(DataError, match=r"Tiny digits is not there: expected train-images.*sub-folder tiny-digits"):
        dataset().find(tmp_path)


def test_another_data_set_of_the_same_file_names(dataset, folder, arrays, monkeypatch):
    """Files right in $MINICNN_DATA may be MNIST's or an imitator's; the names are the same."""
    digest = hashlib.sha256(idx_bytes(arrays[3])).hexdigest()
    monkeypatch.setitem(idx_dataset.KNOWN_TEST_LABELS, digest, "Tiny digits")
    with pytest.raises(DataError, match=r"MNIST is not there \(its files are those of Tiny digits\)"):
        datasets.mnist.load_data(folder / "tiny-digits")
    monkeypatch.setenv("MINICNN_DATA", str(folder / "tiny-digits"))
    assert datasets.mnist.find().kind == "download"
    assert dataset().find().kind == "environment"


def test_the_cache_folder_of_each_platform(monkeypatch):
    for name in ("MINICNN_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", lambda: Path("/home/me"))
    found = {}
    for platform in ("linux", "darwin", "win32"):
        monkeypatch.setattr(sys, "platform", platform)
        found[platform] = cache_folder().as_posix()
    assert found == {
        "linux": "/home/me/.cache/minicnn",
        "darwin": "/home/me/Library/Caches/minicnn",
        "win32": "/home/me/AppData/Local/minicnn",
    }
    monkeypatch.setenv("MINICNN_CACHE", "/elsewhere")
    assert cache_folder() == Path("/elsewhere")


def test_no_home(monkeypatch):
    def no_home():
        raise RuntimeError

    for name in ("MINICNN_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(DataError, match="MINICNN_CACHE"):
        cache_folder()


def test_by_name(dataset, monkeypatch):
    assert datasets.NAMES == ("mnist", "fashion-mnist", "dogs-vs-cats", "drawn-digits", "drawn-pets")
    assert datasets.find("Fashion_MNIST").title == "Fashion-MNIST"
    assert datasets.find("drawn_digits").kind == "drawn"
    assert len(datasets.class_names("mnist")) == len(datasets.class_names("fashion-mnist")) == 10
    monkeypatch.setattr(datasets.drawn_digits, "load_data", lambda: "drawn")
    assert datasets.load("drawn-digits") == "drawn"
    with pytest.raises(ValueError, match="unknown data set 'mnst'; did you mean 'mnist'"):
        datasets.load("mnst")


@pytest.mark.parametrize(("name", "mean", "first"), [("mnist", 33.3184, 5), ("fashion-mnist", 72.9404, 9)])
def test_the_real_thing(name, mean, first):
    (x_train, y_train), (x_test, y_test) = real_data.require(name)
    assert x_train.shape == (60_000, 28, 28) and x_test.shape == (10_000, 28, 28)
    assert {array.dtype for array in (x_train, y_train, x_test, y_test)} == {np.dtype(np.uint8)}
    assert x_train.mean() == pytest.approx(mean, abs=1e-3)
    assert y_train[0] == first
    np.testing.assert_array_equal(np.bincount(y_test).shape, (10,))


def test_required_data_fails_instead_of_skipping(monkeypatch):
    monkeypatch.setenv("MINICNN_REQUIRE_DATA", "1")
    with pytest.raises(pytest.fail.Exception, match="real data is required"):
        real_data.missing("it is gone")
    monkeypatch.delenv("MINICNN_REQUIRE_DATA")
    with pytest.raises(pytest.skip.Exception, match="it is gone"):
        real_data.missing("it is gone")
