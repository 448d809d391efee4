"""Thousands of damaged files: each is read, or refused with our one exception, soon and in little memory.

The changes know the formats (`mutations`): numbers where numbers stand, JSON that stays JSON, archives whose checksums
are right. The same ones are made in every run.
"""

from __future__ import annotations

import gc
import random
import time
import tracemalloc
import warnings

import numpy as np
import pytest

import minicnn
from minicnn.layers import (
    Add,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Input,
    Lambda,
    MaxPooling2D,
    reset_names,
)
from minicnn.models import Model, Sequential
from minicnn.saving import ModelFileError, load_model, load_weights
from tests.saving import mutations

SECONDS = 1.0
BYTES = 200e6


def network():
    """A graph with a chain in it, a layer used twice, and what has arguments of every kind."""
    x = Input((6, 6, 1), name="x")
    y = Conv2D(2, 3, activation="relu", kernel_regularizer="l2", bias_constraint="max_norm", name="c")(x)
    y = Lambda("max", arguments={"axis": 3, "keepdims": True}, name="l")(BatchNormalization(name="b")(y))
    inner = Sequential([MaxPooling2D(2, input_shape=(4, 4, 1)), Flatten(), Dropout(0.5)], name="inner")
    shared = Dense(3, name="d")
    y = inner(y)
    return Model(x, Add(name="a")([shared(y), shared(y)]), name="net")


def compiled():
    model = network()
    model.compile("adam", "mse", ["mae"])
    model.train_on_batch(np.random.default_rng(0).random((2, 6, 6, 1)), np.ones((2, 3), np.float32))
    return model


#: Format: how it is changed, what loads it, and how often.
FORMATS = {
    "model.minicnn": (mutations.archive, load_model, 300),
    "model.keras": (mutations.archive, load_model, 300),
    "model.h5": (mutations.hdf5, load_model, 400),
    "w.weights.h5": (mutations.hdf5, None, 600),
    "w.h5": (mutations.hdf5, None, 600),
    "w.npz": (mutations.archive, None, 400),
    "w.safetensors": (mutations.safetensors, None, 500),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    # The files are made once, for all tests, and have to be the same in whatever order those run.
    minicnn.set_seed(0)
    reset_names()
    model = compiled()
    for name, (_, load, _) in FORMATS.items():
        if load is not None:
            model.save(folder / name)
        else:
            model.save_weights(folder / name)
    return {name: (folder / name).read_bytes() for name in FORMATS}


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_files(tmp_path, files, name):
    change, load, count = FORMATS[name]
    target = network() if load is None else None
    path = tmp_path / name
    problems, refused = [], 0
    # A collection of the whole suite's garbage is none of a file's time.
    gc.disable()
    tracemalloc.start()
    try:
        for seed in range(count):
            path.write_bytes(change(files[name], random.Random(f"{name} {seed}")))
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            start = time.process_time()
            outcome = attempt(load, target, path)
            seconds, peak = time.process_time() - start, tracemalloc.get_traced_memory()[1] - before
            refused += outcome == "refused"
            if outcome not in ("read", "refused") or seconds > SECONDS or peak > BYTES:
                problems.append(f"seed {seed}: {outcome}, {seconds:.2f} s, {peak / 1e6:.0f} MB")
    finally:
        tracemalloc.stop()
        gc.enable()
    assert not problems, "\n".join(problems[:20])
    # Changes that do no harm, and a few that cannot be seen, are read; most must be noticed.
    assert refused > 0.2 * count


def attempt(load, target, path):
    """Load a file, and say what came of it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if target is None:
                load(path)
            else:
                load_weights(target, path)
    except ModelFileError as error:
        text = str(error)
        return "refused" if str(path) in text and "\n" not in text else f"a message of many lines: {text!r}"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    return "read"
