"""Loaders: the same batches for any number of threads, bounded memory, nothing left running, nothing hidden."""

from __future__ import annotations

import itertools
import threading
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minicnn.data.batches.picture_loader import PictureLoader
from minicnn.data.batches.prefetch import Job, Waiting, in_order
from minicnn.data.errors import DataError
from minicnn.data.pictures.sources import PictureFiles, class_folders
from minicnn.preprocessing import PictureError
from minicnn.preprocessing.image import ImageDataGenerator

SIZE = (12, 16)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten cats and ten dogs, of many sizes; cat.i is i grey, dog.i is 100 + i."""
    for label, name in enumerate(("cat", "dog")):
        (tmp_path / name).mkdir()
        for index in range(10):
            image = Image.new("RGB", (20 + index, 30 - index), (100 * label + index,) * 3)
            image.save(tmp_path / name / f"{index}.png")
    return tmp_path


def kernels_threads():
    """The kernels' own, which sleep until they are needed."""
    return {thread for thread in threading.enumerate() if thread.name == "minicnn-kernels"}


@pytest.fixture(autouse=True)
def nothing_left_running():
    before = set(threading.enumerate())
    yield
    assert not set(threading.enumerate()) - before - kernels_threads()


def levels_of(batches):
    return [x[:, 0, 0, 0].astype(int).tolist() for x, _ in batches]


def test_one_epoch_has_every_picture_once(folder):
    loader = PictureLoader(class_folders(folder), SIZE, 8, seed=1)
    assert len(loader) == 3
    first, second = list(loader.stream()), list(loader.stream())
    for epoch in (first, second):
        assert [(x.shape, x.dtype, y.shape) for x, y in epoch] == [
            ((8, *SIZE, 3), np.float32, (8,)), ((8, *SIZE, 3), np.float32, (8,)), ((4, *SIZE, 3), np.float32, (4,)),
        ]  # fmt: skip
        levels = list(itertools.chain(*levels_of(epoch)))
        assert sorted(levels) == [*range(10), *range(100, 110)]
        assert [int(level >= 100) for level in levels] == list(np.concatenate([y for _, y in epoch]))
    assert levels_of(first) != levels_of(second)
    assert loader.epoch == 2


@pytest.mark.parametrize("workers", [0, 1, 7])
def test_the_number_of_workers_changes_nothing(folder, workers):
    generator = ImageDataGenerator(rotation_range=90, zoom_range=0.3, horizontal_flip=True, brightness_range=(0.5, 1.5))

    def batches(workers):
        loader = PictureLoader(
            class_folders(folder), SIZE, 7, seed=4, transform=generator.augment, workers=workers, prefetch_bytes=0
        )
        return [*loader.stream(), *loader.stream(4), loader[1]]

    for (x, y), (expected_x, expected_y) in zip(batches(workers), batches(3), strict=True):
        np.testing.assert_array_equal(x, expected_x)
        np.testing.assert_array_equal(y, expected_y)


def test_an_epoch_can_be_gone_to(folder):
    """So that a training that was interrupted goes on with the pictures it would have seen."""
    source = class_folders(folder)
    loader = PictureLoader(source, SIZE, 8, seed=4)
    epochs = [levels_of(loader.stream()) for _ in range(3)]
    resumed = PictureLoader(source, SIZE, 8, seed=4)
    resumed.epoch = 2
    assert levels_of(resumed.stream()) == epochs[2]


def test_steps_go_on_where_the_last_ones_ended(folder):
    loader, steps = (PictureLoader(class_folders(folder), SIZE, 8, seed=2) for _ in range(2))
    whole = levels_of([*loader.stream(), *loader.stream()])
    assert levels_of([*steps.stream(2), *steps.stream(3), *steps.stream(1)]) == whole
    assert levels_of([*steps.stream(1)]) != levels_of([*steps.stream()]), "an epoch begins with its first batch"
    assert steps.epoch == 4


def test_next_goes_on_for_ever_and_reset_begins_an_epoch(folder):
    loader = PictureLoader(class_folders(folder), SIZE, 8, shuffle=False)
    taken = levels_of(next(loader) for _ in range(7))
    assert taken[:3] == taken[3:6]
    loader.reset()
    assert levels_of([loader.next()]) == taken[:1]
    with pytest.raises(IndexError, match="batch 3 of 3"):
        loader[3]
    assert levels_of([loader[-1]]) == taken[2:3]


def test_unshuffled_pictures_come_as_their_names_do(folder):
    loader = PictureLoader(class_folders(folder), SIZE, 8, shuffle=False)
    assert list(itertools.chain(*levels_of(loader.stream()))) == [*range(10), *range(100, 110)]
    assert loader.filenames[:2] == ["cat/0.png", "cat/1.png"]
    assert loader.class_indices == {"cat": 0, "dog": 1}


# ---------------------------------------------------------------------------------------- odd pictures


def odd_pictures(folder: Path) -> None:
    """Everything a folder can hold that is no plain picture, all of level 50 where it is one."""
    cat = folder / "cat"
    Image.new("RGB", (9, 9), (50, 50, 50)).save(cat / "m1.jpg", "PNG")
    Image.new("RGBA", (9, 9), (50, 50, 50, 255)).save(cat / "m2.png")
    Image.new("CMYK", (9, 9), (0, 0, 0, 205)).save(cat / "m3.jpg", quality=100)
    Image.new("L", (9, 9), 50).save(cat / "m4.bmp")
    Image.fromarray(np.full((9, 9), 50 * 257, np.uint16)).save(cat / "m5.png")
    frames = [Image.new("L", (9, 9), level) for level in (50, 200)]
    frames[0].save(cat / "m6.gif", save_all=True, append_images=frames[1:])
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (20, 10), 50).save(cat / "m7.jpg", exif=exif)
    (cat / "n1.jpg").write_bytes(b"")
    (cat / "n2.jpg").write_bytes((cat / "0.png").read_bytes()[:45])
    (cat / "n3.jpg").write_bytes(b"hello")
    (cat / "notes.txt").write_text("hello")


def test_odd_pictures_come_in_and_broken_ones_are_listed(folder, capsys):
    odd_pictures(folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    loader = PictureLoader(class_folders(folder), SIZE, 5, shuffle=False)
    for _ in range(2):
        levels = list(itertools.chain(*levels_of(loader.stream())))
        assert levels[:10] == list(range(10))
        np.testing.assert_allclose(levels[10:17], 50, atol=1)
        assert levels[17:] == list(range(100, 110))
    names = [skipped.name for skipped in loader.skipped]
    assert names == ["cat/notes.txt", "cat/n1.jpg", "cat/n2.jpg", "cat/n3.jpg"]
    reasons = [skipped.reason for skipped in loader.skipped]
    assert reasons[0] == "no picture, as its name ends"
    assert reasons[1].startswith("not a picture, or of no known kind (known: ")
    assert reasons[2].startswith("a damaged or truncated picture (")
    printed = capsys.readouterr().out
    assert printed == (
        "Skipped 4 files, listed with the reasons in `skipped`; the first is cat/notes.txt: no picture, as its name "
        "ends\n"
    )
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert (loader.samples, len(loader.filenames), len(loader.classes)) == (27, 27, 27)


def test_strict_loaders_raise(folder):
    odd_pictures(folder)
    loader = PictureLoader(class_folders(folder), SIZE, 5, strict=True)
    with pytest.raises(PictureError, match=r"cat[/\\]n\d\.jpg: "):
        list(loader.stream())


def test_batches_without_a_readable_picture_are_left_out(folder):
    for index in range(8):
        (folder / "cat" / f"{index}.png").write_bytes(b"")
    loader = PictureLoader(class_folders(folder), SIZE, 4, shuffle=False, verbose=False)
    assert levels_of(loader.stream()) == [[8, 9, 100, 101], [102, 103, 104, 105], [106, 107, 108, 109]]
    assert len(list(loader.stream(4))) == 4


def test_no_readable_picture_at_all_is_an_error(folder):
    for path in folder.rglob("*.png"):
        path.write_bytes(b"")
    loader = PictureLoader(class_folders(folder), SIZE, 4, shuffle=False, verbose=False)
    for batches in (loader.stream(), loader.stream(2)):
        with pytest.raises(
            DataError, match=r"none of the 20 pictures can be read; the first is cat/0\.png: not a pict"
        ):
            list(batches)
    with pytest.raises(DataError, match="there are no pictures to make batches of"):
        next(PictureLoader(PictureFiles([]), SIZE))


# ------------------------------------------------------------------------------- threads and memory


def test_what_fails_in_a_worker_reaches_the_caller_with_the_pictures_name(folder):
    def transform(x, generator):
        raise TypeError("no such colour")

    loader = PictureLoader(class_folders(folder), SIZE, 4, shuffle=False, transform=transform)
    with pytest.raises(RuntimeError, match=r"cat/0\.png: TypeError: no such colour") as failure:
        next(loader)
    assert isinstance(failure.value.__cause__, TypeError)


def test_leaving_early_ends_the_threads(folder):
    loader = PictureLoader(class_folders(folder), SIZE, 2, workers=3)
    with closing(loader.stream()) as batches:
        next(batches)
    for _ in loader.stream():
        break
    with pytest.raises(KeyboardInterrupt), closing(loader.stream()) as batches:
        for _ in batches:
            raise KeyboardInterrupt
    for _ in loader:
        break
    next(loader)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("minicnn-loader")]


def test_no_more_is_loaded_ahead_than_memory_allows(folder):
    made = []

    def transform(x, generator):
        made.append(1)
        return x

    batch_bytes = 2 * 12 * 16 * 3 * 4
    for allowed, ahead in [(0, 1), (3 * batch_bytes, 3), (10**9, 4)]:
        made.clear()
        loader = PictureLoader(class_folders(folder), SIZE, 2, workers=2, transform=transform, prefetch_bytes=allowed)
        with closing(loader.stream()) as batches:
            next(batches)
            time.sleep(0.2)
            assert len(made) == 2 * (1 + ahead)


def test_waiting_is_measured():
    def slow():
        time.sleep(0.02)

    waiting = Waiting()
    for _ in in_order(iter([Job([slow], len)] * 4), 1, 1, waiting):
        pass
    assert waiting.share > 0.9
    assert waiting.seconds >= 0.08
    waiting = Waiting()
    for _ in in_order(iter([Job([slow], len)] * 4), 1, 1, waiting):
        time.sleep(0.06)
    assert waiting.share < 0.5
    assert waiting.total >= 0.24


def test_parts_may_finish_in_any_order_results_do_not():
    def late(number):
        time.sleep(0.002 * (5 - number))
        return number

    jobs = (Job([lambda n=n, m=m: late(n) * 10 + m for m in (0, 1)], tuple) for n in range(5))
    assert list(in_order(jobs, 5, 4)) == [(10 * n, 10 * n + 1) for n in range(5)]


# ------------------------------------------------------------------------------------------- arguments


def test_class_modes(folder):
    source = class_folders(folder)
    batches = {mode: PictureLoader(source, SIZE, 20, mode, shuffle=False)[0] for mode in ("binary", "sparse", "input")}
    expected = np.repeat([0, 1], 10).astype(np.float32)
    for mode in ("binary", "sparse"):
        np.testing.assert_array_equal(batches[mode][1], expected, strict=True)
    np.testing.assert_array_equal(*batches["input"])
    one_hot = PictureLoader(source, SIZE, 20, "categorical", shuffle=False, dtype="float64")[0][1]
    np.testing.assert_array_equal(one_hot, np.eye(2)[expected.astype(int)], strict=True)
    assert PictureLoader(source, SIZE, 20, None)[0].shape == (20, *SIZE, 3)
    with pytest.raises(ValueError, match="class_mode: 'binary' needs 2 classes, got 1"):
        PictureLoader(class_folders(folder, ["cat"]), SIZE, class_mode="binary")
    with pytest.raises(ValueError, match="class_mode: 'sparse' needs classes, and these pictures have none"):
        PictureLoader(PictureFiles.listed(folder), SIZE, class_mode="sparse")


def test_sizes_colours_and_layouts(tmp_path):
    (tmp_path / "a").mkdir()
    Image.new("RGBA", (30, 10), (200, 0, 0, 128)).save(tmp_path / "a" / "x.png")
    source = class_folders(tmp_path)

    def pixel(**how):
        return PictureLoader(source, (8, 8), class_mode=None, **how)[0][0]

    np.testing.assert_array_equal(pixel()[4, 4], [227, 127, 127])
    np.testing.assert_array_equal(pixel(color_mode="rgba", interpolation="nearest")[4, 4], [200, 0, 0, 128])
    assert pixel(color_mode="grayscale").shape == (8, 8, 1)
    assert pixel(data_format="channels_first").shape == (3, 8, 8)
    np.testing.assert_array_equal(pixel(fitting="pad")[0], 0)
    assert pixel(fitting="crop")[0].min() > 0
    for name, value in [("color_mode", "bgr"), ("fitting", "stretch"), ("interpolation", "cubic")]:
        with pytest.raises(ValueError, match=f"{name}: expected one of .* got {value!r}"):
            pixel(**{name: value})
    with pytest.raises(
        ValueError, match=r"size: expected \(height, width\), whole numbers of at least 1, got \(0, 8\)"
    ):
        PictureLoader(source, (0, 8))


def test_drafts_are_near_what_full_decoding_gives(tmp_path):
    (tmp_path / "a").mkdir()
    y, x = np.mgrid[0:300, 0:400]
    waves = np.stack([127 + 90 * np.sin(x / 31), 127 + 90 * np.cos(y / 27), 127 + 90 * np.sin((x + y) / 40)], -1)
    Image.fromarray(waves.astype(np.uint8)).save(tmp_path / "a" / "x.jpg", quality=95)
    source = class_folders(tmp_path)
    full, quick = (PictureLoader(source, (50, 50), draft=draft)[0][0] for draft in (False, True))
    assert 0 < np.abs(full - quick).max() < 6
    with pytest.raises(ValueError, match="draft: averages neighbouring pixels, which interpolation='nearest' does not"):
        PictureLoader(source, (50, 50), draft=True, interpolation="nearest")
