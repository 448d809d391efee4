"""Archives: read in place, and what is hostile in them refused or left out in one line, with bounded memory."""

from __future__ import annotations

import random
import re
import stat
import struct
import threading
import time
import tracemalloc
import zipfile
import zlib

import pytest

from minicnn.cli import machine
from minicnn.data.errors import DataError, PictureError
from minicnn.data.pictures import archive as archives
from minicnn.data.pictures.archive import Archive
from minicnn.data.pictures.sources import PictureZip
from tests.data.zips import (
    ATTRIBUTES,
    CRC,
    FLAGS,
    METHOD,
    PACKED,
    UNPACKED,
    make_zip,
    noise_bytes,
    patch_directory,
    picture_bytes,
)

PICTURE = picture_bytes()


@pytest.fixture
def opened():
    """Open archives that are closed after the test."""
    made = []

    def make(path):
        made.append(Archive(path))
        return made[-1]

    yield make
    for archive in made:
        archive.close()


def test_files_by_name_in_the_order_of_names(tmp_path, opened):
    path = make_zip(tmp_path / "x.zip", {"b/2.png": PICTURE, "a.txt": b"text", "b/": b"", "b\\1.png": b"one"})
    archive = opened(path)
    assert archive.names == ["a.txt", "b/1.png", "b/2.png"]
    assert archive.skipped == []
    assert archive.read("b/1.png") == b"one"
    assert archive.read("b/2.png") == PICTURE


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_methods(tmp_path, opened, method):
    assert opened(make_zip(tmp_path / "x.zip", {"a.png": PICTURE}, method)).read("a.png") == PICTURE


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ([("../a.png", PICTURE)], "its name leads out of the archive"),
        ([("x/../../a.png", PICTURE)], "its name leads out of the archive"),
        ([("/etc/a.png", PICTURE)], "its name leads out of the archive"),
        ([("C:\\a.png", PICTURE)], "its name leads out of the archive"),
        ([("..\\a.png", PICTURE)], "its name leads out of the archive"),
        ([("inner.zip", PICTURE)], "an archive in the archive, which is not looked into"),
        ([("empty.png", b"")], "empty"),
        ([("a.png", PICTURE), ("a.png", b"second")], "the archive has this name twice; the first is used"),
    ],
)
def test_left_out_with_a_reason(tmp_path, opened, members, reason):
    archive = opened(make_zip(tmp_path / "x.zip", [*members, ("good.png", PICTURE)]))
    assert archive.skipped == [(members[-1][0].replace("\\", "/"), reason)]
    assert archive.names == ["a.png", "good.png"] if len(members) == 2 else ["good.png"]
    assert all(archive.read(name) == PICTURE for name in archive.names)


@pytest.mark.parametrize(
    ("field", "value", "width", "reason"),
    [
        (FLAGS, 1, "<H", "encrypted"),
        (METHOD, zipfile.ZIP_LZMA, "<H", r"packed by a method that is not read here \(number 14\)"),
        (METHOD, 77, "<H", r"packed by a method that is not read here \(number 77\)"),
        (UNPACKED, 2**32 - 2, "<I", "too large: expected at most 67,108,864 bytes, got 4,294,967,294"),
        (PACKED, 2**31, "<I", "too large: expected at most 67,108,864 bytes, got 2,147,483,648"),
        (ATTRIBUTES, (stat.S_IFLNK | 0o777) << 16, "<I", "a link, not a file"),
    ],
)
def test_left_out_by_what_the_directory_says(tmp_path, opened, field, value, width, reason):
    path = make_zip(tmp_path / "x.zip", {"a.png": PICTURE, "good.png": PICTURE})
    patch_directory(path, "a.png", field, value, width)
    archive = opened(path)
    assert archive.names == ["good.png"]
    (skipped,) = archive.skipped
    assert re.fullmatch(reason, skipped[1])


def test_a_member_that_unpacks_to_more_than_it_says(tmp_path, opened):
    """128 MB of zeros in 128 KB, said to be a few bytes long: no more than these are unpacked."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = b"".join(packer.compress(bytes(1 << 24)) for _ in range(8)) + packer.flush()
    path = make_zip(tmp_path / "x.zip", {"bomb.png": bomb})
    for place, offset in ((b"PK\x01\x02", 10), (b"PK\x03\x04", 8)):
        content = bytearray(path.read_bytes())
        struct.pack_into("<H", content, content.index(place) + offset, zipfile.ZIP_DEFLATED)
        path.write_bytes(content)
    patch_directory(path, "bomb.png", UNPACKED, 1000)
    archive = opened(path)
    tracemalloc.start()
    try:
        with pytest.raises(PictureError, match=r"x\.zip/bomb\.png: damaged in the archive"):
            archive.read("bomb.png")
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_damaged_members(tmp_path, opened):
    path = make_zip(tmp_path / "x.zip", {"a.png": PICTURE, "b.png": PICTURE}, zipfile.ZIP_DEFLATED)
    patch_directory(path, "a.png", CRC, 12345)
    patch_directory(path, "b.png", UNPACKED, len(PICTURE) + 5)
    archive = opened(path)
    with pytest.raises(PictureError, match=r"^x\.zip/a\.png: damaged in the archive \(Bad CRC-32"):
        archive.read("a.png")
    with pytest.raises(PictureError, match=r"^x\.zip/b\.png: damaged in the archive \(expected \d+ bytes, got \d+\)"):
        archive.read("b.png")


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x05\x06"])
def test_no_archives(tmp_path, content):
    path = tmp_path / "x.zip"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"x\.zip: no zip archive, or one that is damaged or cut short"):
        Archive(path)


def test_cut_short(tmp_path):
    path = make_zip(tmp_path / "x.zip", {"a.png": PICTURE, "b.png": PICTURE})
    content = path.read_bytes()
    for end in (10, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:end])
        with pytest.raises(DataError, match=r"x\.zip: no zip archive, or one that is damaged or cut short"):
            Archive(path)


def test_no_file(tmp_path):
    with pytest.raises(DataError, match=r"gone\.zip: no such file"):
        Archive(tmp_path / "gone.zip")
    with pytest.raises(DataError, match=": no file"):
        Archive(tmp_path)


def test_too_many_members(tmp_path, monkeypatch):
    path = make_zip(tmp_path / "x.zip", {f"{number}.png": b"x" for number in range(5)})
    monkeypatch.setattr(archives, "MAX_MEMBERS", 4)
    with pytest.raises(DataError, match=r"x\.zip: expected at most 4 files in the archive, got 5"):
        Archive(path)


def test_a_directory_that_claims_to_be_huge_is_not_read(tmp_path, monkeypatch):
    path = make_zip(tmp_path / "x.zip", {f"{number}.png": b"x" for number in range(50)})
    monkeypatch.setattr(archives, "MAX_DIRECTORY", 1000)
    with pytest.raises(DataError, match=r"x\.zip: expected a directory of at most 1,000 bytes in the archive, got "):
        Archive(path)


def test_several_threads_read_at_once(tmp_path, opened):
    contents = {f"{number}.png": noise_bytes(number) for number in range(30)}
    archive = opened(make_zip(tmp_path / "x.zip", contents, zipfile.ZIP_DEFLATED))
    wrong = []

    def read():
        wrong.extend(name for _ in range(5) for name in contents if archive.read(name) != contents[name])

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_source_lists_pictures_and_what_is_none(tmp_path):
    members = {
        "a.png": PICTURE,
        "x.jpg/": b"",
        "x.jpg/b.png": PICTURE,
        "notes.txt": b"text",
        "c.png": b"broken",
        "d.png": b"",
    }
    source = PictureZip(make_zip(tmp_path / "x.zip", members))
    try:
        assert source.names == ["a.png", "c.png", "x.jpg/b.png"]
        assert [name for name, _ in source.skipped] == ["d.png", "notes.txt"]
        assert source.open(2).size == (8, 6)
        with pytest.raises(PictureError, match=r"c\.png: not a picture"):
            source.open(1)
    finally:
        source.close()


def mutated(content: bytes, draw: random.Random) -> bytes:
    """Damage that knows the format: fields of headers and directory, cuts, repeats and swaps of whole records."""
    damaged = bytearray(content)
    records = [place for place in range(len(damaged) - 4) if damaged[place : place + 2] == b"PK"]
    for _ in range(draw.randint(1, 3)):
        kind = draw.randrange(6)
        place = draw.choice(records)
        if kind == 0:
            width = draw.choice(["<H", "<I"])
            value = draw.choice([0, 1, 0x7F, 0xFFFF, draw.randrange(1 << 16)])
            value = draw.choice([value, 0xFFFFFFFF, 0x7FFFFFFF]) if width == "<I" else value
            struct.pack_into(width, damaged, min(place + draw.randrange(4, 46), len(damaged) - 4), value)
        elif kind == 1:
            del damaged[draw.randrange(1, len(damaged)) :]
        elif kind == 2:
            damaged[place:place] = damaged[place : place + draw.randrange(1, 200)]
        elif kind == 3:
            del damaged[place : place + draw.randrange(1, 200)]
        elif kind == 4:
            damaged[draw.randrange(len(damaged))] ^= 1 << draw.randrange(8)
        else:
            other = draw.choice(records)
            damaged[place : place + 46], damaged[other : other + 46] = (
                damaged[other : other + 46],
                damaged[place : place + 46],
            )
        if len(damaged) < 60:
            break
        records = [place for place in range(len(damaged) - 4) if damaged[place : place + 2] == b"PK"] or [0]
    return bytes(damaged)


def test_mutations_end_in_our_errors_quickly_and_in_bounded_memory(tmp_path):
    members = [(f"train/{kind}.{n}.png", picture_bytes(9 * n)) for kind in ("cat", "dog") for n in range(3)]
    seeds = [
        make_zip(tmp_path / f"{method}.zip", members, method).read_bytes()
        for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)
    ]
    draw = random.Random(0)
    path = tmp_path / "mutated.zip"
    outcomes = {"refused": 0, "damaged": 0, "whole": 0}
    before = machine.resident_memory()
    for case in range(2000):
        path.write_bytes(mutated(seeds[case % len(seeds)], draw))
        start = time.perf_counter()
        try:
            source = PictureZip(path)
        except DataError as error:
            outcomes["refused"] += 1
            assert "\n" not in str(error)
            continue
        for index in range(len(source)):
            try:
                source.open(index)
                outcomes["whole"] += 1
            except PictureError:
                outcomes["damaged"] += 1
        source.close()
        assert time.perf_counter() - start < 1
    assert before is None or machine.resident_memory() - before < 200_000_000
    # The mutations reach everything: the directory, the members, and neither.
    assert min(outcomes.values()) > 50, outcomes
