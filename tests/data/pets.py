"""Cats and dogs in every usual layout, small enough for tests: a cat is red, a dog blue."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = {"cat": (200, 40, 40), "dog": (40, 40, 200)}


def pet_bytes(animal: str, number: int, size: tuple[int, int] = (12, 16)) -> bytes:
    """A JPEG of (height, width) in the animal's colour, no two alike."""
    noise = np.random.default_rng(number).integers(-30, 30, (*size, 3))
    stream = io.BytesIO()
    Image.fromarray(np.clip(COLOURS[animal] + noise, 0, 255).astype(np.uint8)).save(stream, "JPEG", quality=95)
    return stream.getvalue()


def flat(count: int) -> dict[str, bytes]:
    """Kaggle's names: ``cat.0.jpg``, ..., so many of each."""
    return {f"{animal}.{n}.jpg": pet_bytes(animal, n) for animal in ("cat", "dog") for n in range(count)}


def by_folder(count: int, cats: str = "Cat", dogs: str = "Dog") -> dict[str, bytes]:
    """Microsoft's: ``Cat/0.jpg``, ..."""
    return {
        f"{name}/{n}.jpg": pet_bytes(animal, n) for animal, name in (("cat", cats), ("dog", dogs)) for n in range(count)
    }


def below(folder: str, files: dict[str, bytes]) -> dict[str, bytes]:
    """The same files in a folder."""
    return {f"{folder}/{name}": content for name, content in files.items()}


def unpacked(root: Path, files: dict[str, bytes]) -> Path:
    """Write the files below `root`."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def packed(path: Path, files: dict[str, bytes]) -> Path:
    """Write the files into an archive."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def digest(root: Path) -> str:
    """Of all files at and below `root`: names, contents and times of change."""
    total = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        status = path.stat()
        total.update(f"{path.relative_to(root)} {status.st_mtime_ns} {status.st_size}".encode())
        if path.is_file():
            total.update(path.read_bytes())
    return total.hexdigest()
