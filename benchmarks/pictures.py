"""Pictures from a folder: how long the fit loop waits for them while threads decode and change them.

The files are drawn cats and dogs of a common camera's aspect, as JPEG; the changes and the network are besbes'.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from . import driver

UNIT = "pictures a second, and the share of its time that fit waits for them"
SPEED, WAITS = "train", "waits for pictures"
NAMES = ["besbes from JPEG files"]
SIZE = (375, 500)
PICTURES, PICTURES_QUICK = 640, 128


def measure(name: str, options: Any, about: dict[str, Any]) -> dict[str, Any]:
    """An epoch over all files a round, after one to warm up."""
    rounds: driver.Rounds = {}
    with tempfile.TemporaryDirectory() as folder, driver.running(["minicnn"], options.threads, about) as engines:
        write(Path(folder), PICTURES_QUICK if options.quick else PICTURES)
        for engine in engines:
            engine.ask("prepare_pictures", folder=folder)
            for number in range(options.rounds):
                speed, share = engine.ask("train_on_pictures")
                for what, value in ((SPEED, speed), (WAITS, share)):
                    rounds.setdefault(engine.name, {}).setdefault(what, []).append(value)
                driver.progress(name, number, options.rounds)
    return {"rounds": rounds}


def write(folder: Path, count: int) -> None:
    """Draw so many cats and dogs into a sub-folder for each."""
    from PIL import Image

    from minicnn.datasets import drawn_pets

    (x, y), _ = drawn_pets.load_data(n_train=count, n_test=0, size=SIZE)
    for number, (picture, label) in enumerate(zip(x, y, strict=True)):
        place = folder / ("cat", "dog")[label]
        place.mkdir(exist_ok=True)
        Image.fromarray(picture).save(place / f"{number}.jpg", quality=90)
