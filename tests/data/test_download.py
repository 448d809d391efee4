"""Fetching from mirrors that hang, lie, break off or answer with web pages."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from minicnn.data.errors import DataError, DownloadError
from minicnn.data.sets import download

IMAGES = "train-images-idx3-ubyte.gz"


def cached(dataset) -> Path:
    return dataset.find().folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def assert_loaded(loaded, arrays):
    (x_train, y_train), (x_test, y_test) = loaded
    for got, want in zip((x_train, y_train, x_test, y_test), arrays, strict=True):
        np.testing.assert_array_equal(got, want)


def test_downloads_once_and_leaves_only_the_files(dataset, mirror, arrays, packed, capsys):
    digits = dataset("good")
    assert digits.find().kind == "download"
    assert_loaded(digits.load(), arrays)
    assert names(cached(digits)) == sorted(packed)
    assert "Tiny digits: downloading train-images" in capsys.readouterr().err
    assert digits.find().kind == "cache"
    assert_loaded(digits.load(), arrays)
    assert len(mirror.requests) == 4


@pytest.mark.parametrize("bad", ["page", "tampered", "absent", "endless", "stalling", "hanging"])
def test_goes_to_the_next_mirror(dataset, arrays, packed, bad):
    digits = dataset(bad, "good")
    assert_loaded(digits.load(patience=1.0), arrays)
    assert names(cached(digits)) == sorted(packed)


def test_silent_mirrors_leave_time_for_a_slow_one(dataset, arrays):
    assert_loaded(dataset("hanging", "hanging", "slow").load(patience=3.0), arrays)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("page", "answered with a web page titled 'Hotel  Wi-Fi' instead of the file"),
        ("tampered", "train-images-idx3-ubyte: not the official file: expected sha256"),
        ("absent", "HTTP 404"),
        ("endless", "sends more than the"),
    ],
)
def test_the_reason_is_given_and_nothing_stays(dataset, bad, reason):
    digits = dataset(bad)
    with pytest.raises(DownloadError, match=r"neither in \$MINICNN_DATA nor in the cache") as caught:
        digits.load(patience=1.0)
    assert reason in str(caught.value)
    assert "MINICNN_DATA names" in str(caught.value)
    assert names(cached(digits)) == []


@pytest.mark.parametrize("mirrors", [("hanging",), ("hanging", "hanging", "hanging"), ("trickling", "hanging")])
def test_gives_up_on_a_silent_network(dataset, mirrors):
    start = time.monotonic()
    with pytest.raises(DownloadError, match="no answer"):
        dataset(*mirrors).load(patience=0.6)
    assert time.monotonic() - start < 3


def test_gives_up_within_ten_seconds_by_default(dataset, mirror):
    start = time.monotonic()
    with pytest.raises(DownloadError, match="no answer"):
        dataset("hanging", "hanging").load()
    assert time.monotonic() - start < 10
    assert [folder for folder, _, _ in mirror.requests] == ["hanging", "hanging"]


def test_a_name_server_that_hangs_does_not_hold_up(dataset, monkeypatch):
    monkeypatch.setattr(download, "_open", lambda *_: time.sleep(20))
    start = time.monotonic()
    with pytest.raises(DownloadError, match="no answer"):
        dataset("good").load(patience=0.3)
    assert time.monotonic() - start < 3


def test_a_refused_connection_is_no_wait(dataset, mirror):
    digits = dataset("good")
    mirror.server.shutdown()
    mirror.server.server_close()
    with pytest.raises(DownloadError, match=r"refused|No connection"):
        digits.load()


def test_a_broken_transfer_goes_on_where_it_stopped(dataset, mirror, arrays, packed):
    assert_loaded(dataset("breaking").load(), arrays)
    ranges = [span for _, name, span in mirror.requests if name == IMAGES]
    third = len(packed[IMAGES]) // 3
    assert ranges[:3] == [None, f"bytes={third}-", f"bytes={2 * third}-"]


def test_a_later_run_goes_on_where_this_one_stopped(dataset, mirror, arrays, packed):
    with pytest.raises(DownloadError):
        dataset("stalling").load(patience=0.4)
    digits = dataset("good")
    part = cached(digits) / (IMAGES + ".part")
    assert part.read_bytes() == packed[IMAGES][:1000]
    assert_loaded(digits.load(), arrays)
    assert ("good", IMAGES, "bytes=1000-") in mirror.requests
    assert names(cached(digits)) == sorted(packed)


@pytest.mark.parametrize("server", ["good", "no-ranges", "repacked"])
@pytest.mark.parametrize("rest", ["beginning", "garbage", "complete", "too much"])
def test_whatever_part_lies_there(dataset, arrays, packed, server, rest):
    digits = dataset(server)
    folder = cached(digits)
    folder.mkdir(parents=True)
    content = packed[IMAGES]
    parts = {"beginning": content[:500], "garbage": b"junk", "complete": content, "too much": content + b"x"}
    (folder / (IMAGES + ".part")).write_bytes(parts[rest])
    assert_loaded(digits.load(), arrays)
    assert names(folder) == sorted(packed)


def test_only_missing_files_are_fetched(dataset, mirror, arrays, packed):
    digits = dataset("good")
    folder = cached(digits)
    folder.mkdir(parents=True)
    (folder / IMAGES).write_bytes(packed[IMAGES])
    assert_loaded(digits.load(), arrays)
    assert len(mirror.requests) == 3


def test_only_web_addresses(dataset, tmp_path):
    with pytest.raises(DownloadError, match="not an http or https address"):
        download.fetch(tmp_path / "x", ["file:///etc/hostname"], lambda _: None, max_bytes=100, patience=1)
    assert names(tmp_path) == []


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="cannot make the folder"):
        download.fetch(tmp_path / "file" / "x", ["http://127.0.0.1/x"], lambda _: None, max_bytes=9, patience=1)


def test_a_disk_that_fails_at_the_end_leaves_the_old_file(tmp_path, monkeypatch, mirror):
    target = tmp_path / "file"
    target.write_bytes(b"old")
    mirror.files["file"] = b"new"
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(DownloadError, match=r"file: cannot write to .*: disk full"):
        download.fetch(target, [mirror.url("good") + "/file"], lambda _: None, max_bytes=9, patience=1)
    assert target.read_bytes() == b"old"
    # The transfer goes on from here.
    assert names(tmp_path) == ["file", "file.part"]
