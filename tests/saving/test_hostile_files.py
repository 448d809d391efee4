"""Files made to harm: each is refused with one line that names it, before memory is taken for what it claims."""

from __future__ import annotations

import io
import json
import os
import signal
import struct
import subprocess
import sys
import textwrap
import time
import tracemalloc
import zipfile

import h5py
import numpy as np
import pytest

from minicnn.callbacks import ModelCheckpoint
from minicnn.layers import BatchNormalization, Conv2D, Dense, Flatten
from minicnn.models import Sequential
from minicnn.saving import ModelFileError, load_model, load_weights

MODELS = [".minicnn", ".keras", ".h5"]
WEIGHTS = [".weights.h5", ".h5", ".npz", ".safetensors"]


def chain():
    return Sequential(
        [
            Conv2D(2, 3, input_shape=(6, 6, 1), name="c"),
            BatchNormalization(name="b"),
            Flatten(),
            Dense(3, activation="softmax"),
        ]
    )


@pytest.fixture
def model():
    model = chain()
    model.compile("adam", "sparse_categorical_crossentropy")
    model.train_on_batch(np.ones((2, 6, 6, 1), np.float32), np.array([0, 1]))
    return model


def refused(load, path, *arguments, match):
    """Load, expect one line that names the file, and little memory."""
    tracemalloc.start()
    try:
        with pytest.raises(ModelFileError, match=match) as caught:
            load(*arguments, path) if arguments else load(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert peak < 100e6


def rezip(path, out, change, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out


# ------------------------------------------------------------------------------------- archives


@pytest.mark.parametrize("ending", [".minicnn", ".keras"])
def test_members_that_climb_out_are_never_written_anywhere(tmp_path, model, ending):
    model.save(tmp_path / f"m{ending}")
    inner = tmp_path / "inner"
    inner.mkdir()
    path = rezip(tmp_path / f"m{ending}", inner / f"m{ending}", lambda m: m.update({"../escaped.txt": b"x"}))
    if ending == ".minicnn":
        refused(load_model, path, match=r"it holds \['\.\./escaped\.txt'\]")
    else:
        # Keras allows further members (assets), and none is unpacked.
        load_model(path)
    assert not (tmp_path / "escaped.txt").exists()


def test_members_that_unpack_to_anything(tmp_path, model):
    model.save(tmp_path / "m.keras")
    for name in ("model.weights.h5", "config.json", "metadata.json"):
        path = rezip(
            tmp_path / "m.keras",
            tmp_path / "bomb.keras",
            lambda m, name=name: m.update({name: b"\0" * 20_000_000}),
            zipfile.ZIP_DEFLATED,
        )
        refused(load_model, path, match="unpacks to 20,000,000 bytes")


def test_a_packed_archive_of_ordinary_proportions_is_read(tmp_path, model):
    model.save(tmp_path / "m.keras")
    path = rezip(tmp_path / "m.keras", tmp_path / "p.keras", lambda m: None, zipfile.ZIP_DEFLATED)
    assert load_model(path).count_params() == model.count_params()


def test_the_same_name_twice(tmp_path, model):
    model.save(tmp_path / "m.keras")
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(tmp_path / "m.keras", "a") as archive:
        archive.writestr("config.json", "{}")
    refused(load_model, tmp_path / "m.keras", match="two members of the archive have the same name")


def test_a_table_of_contents_of_a_million_entries(tmp_path):
    path = tmp_path / "m.keras"
    entry = b"PK\1\2" + bytes(42)
    path.write_bytes(entry * 100_000 + struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 4_600_000, 0, 0))
    refused(load_model, path, match="table of contents claims 4,600,000 bytes")


@pytest.mark.parametrize("depth", [500, 100_000])
@pytest.mark.parametrize("ending", MODELS)
def test_deep_json(tmp_path, model, ending, depth):
    text = '{"a":' * depth + "1" + "}" * depth
    change_description(model, tmp_path, ending, text)
    refused(load_model, tmp_path / f"x{ending}", match=r"x\.\w+: ")


@pytest.mark.parametrize("ending", MODELS)
def test_long_json(tmp_path, model, ending):
    change_description(model, tmp_path, ending, '{"a": [' + "[]," * 2_000_000 + "[]]}")
    refused(load_model, tmp_path / f"x{ending}", match=r"bytes|structure")


def change_description(model, folder, ending, text):
    path, out = folder / f"m{ending}", folder / f"x{ending}"
    model.save(path)
    if ending == ".h5":
        out.write_bytes(path.read_bytes())
        with h5py.File(out, "r+") as file:
            file.attrs["model_config"] = text
    else:
        name = "config.json" if ending == ".keras" else "model.json"
        rezip(path, out, lambda members: members.update({name: text.encode()}))


# ---------------------------------------------------------------------------------------- HDF5


def test_shapes_that_no_file_has_bytes_for(tmp_path, model):
    """A dataset of 8 TB that was never written, in a file of a few kilobytes, and a model that asks for it."""
    model.save(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5", "r+") as file:
        group = file["model_weights"]["dense"]
        (name,) = [name for name in group.attrs["weight_names"] if b"kernel" in name]
        del group[name]
        group.create_dataset(name, (32, 64_000_000_000), "f4")
        config = json.loads(file.attrs["model_config"])
        config["config"]["layers"][-1]["config"]["units"] = 64_000_000_000
        file.attrs["model_config"] = json.dumps(config)
    refused(load_model, tmp_path / "m.h5", match=r"shape|bytes")


def weights_file(path, make):
    """A file of weights in which `make` puts the kernel of a Dense."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"d"]
        group = file.create_group("d")
        group.attrs["weight_names"] = [b"kernel", b"bias"]
        make(group)
        group["bias"] = np.zeros(500, np.float32)
    return path


def dense():
    return Sequential([Dense(500, input_shape=(2000,), name="d")])


def virtual(group):
    layout = h5py.VirtualLayout((2000, 500), "f4")
    layout[:] = h5py.VirtualSource("/etc/hostname", "x", (2000, 500))
    group.create_virtual_dataset("kernel", layout)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (virtual, "storage of version 4|this reader does not know|damaged"),
        (
            lambda g: g.create_dataset("kernel", (2000, 500), "f4", external=[("/etc/hostname", 0, 4_000_000)]),
            "lies in",
        ),
        (lambda g: g.__setitem__("kernel", h5py.ExternalLink("/etc/hostname", "x")), "link|this reader"),
        (lambda g: g.__setitem__("kernel", h5py.SoftLink("/d/bias")), "'kernel' is a link to another place"),
        (lambda g: g.create_dataset("kernel", (2000, 500), h5py.string_dtype()), "strings or nothing"),
        (lambda g: g.create_dataset("kernel", (2000, 500), h5py.ref_dtype), "it holds a reference"),
        (lambda g: g.create_dataset("kernel", (2000, 500), h5py.vlen_dtype(np.float32)), "it holds a variable-length"),
        (lambda g: g.create_dataset("kernel", (2000, 500), np.dtype("f4,f4")), "it holds a compound"),
        (lambda g: g.create_dataset("kernel", (2000, 500), "S8"), "must hold floats, but has dtype"),
        (lambda g: g.create_dataset("kernel", (2000, 500), "i4"), "must hold floats, but has dtype int32"),
        (lambda g: g.create_dataset("kernel", (2000, 500), "f4"), r"of shape \(2000, 500\) has"),
        (lambda g: g.create_dataset("kernel", data=np.zeros((2000, 500), "f4"), compression="gzip"), "unpacks to"),
        (lambda g: g.create_dataset("kernel", data=np.zeros((2000, 500), "f4"), compression="lzf"), "with filters"),
        (lambda g: g.create_group("kernel"), "is a group where an array should be"),
        (lambda g: None, "there is no '/d/kernel'"),
    ],
)
def test_datasets_that_are_no_weights(tmp_path, make, match):
    path = weights_file(tmp_path / "w.h5", make)
    refused(load_weights, path, dense(), match=match)


def test_compressed_weights_of_ordinary_proportions_are_read(tmp_path):
    kernel = np.random.default_rng(0).standard_normal((2000, 500)).astype(np.float32)
    options = {"compression": "gzip", "shuffle": True, "fletcher32": True, "chunks": (300, 77)}
    path = weights_file(tmp_path / "w.h5", lambda g: g.create_dataset("kernel", data=kernel, **options))
    model = dense()
    model.load_weights(path)
    np.testing.assert_array_equal(model.get_weights()[0], kernel)


def test_datasets_that_share_their_bytes(tmp_path):
    """A megabyte that a thousand layers read is a gigabyte."""
    path = tmp_path / "w.h5"
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [f"d{i}".encode() for i in range(40)]
        kernel = np.zeros((500, 500), np.float32)
        for i in range(40):
            group = file.create_group(f"d{i}")
            group.attrs["weight_names"] = [b"kernel"]
            group["kernel"] = kernel if i == 0 else file["d0/kernel"]
    model = Sequential([Dense(500, use_bias=False, input_shape=(500,), name=f"d{i}") for i in range(40)])
    refused(load_weights, path, model, match="its datasets overlap")


def test_a_newer_layout_is_named(tmp_path):
    path = tmp_path / "w.h5"
    with h5py.File(path, "w", libver="latest") as file:
        for i in range(20):
            file.create_group(f"g{i}")
    refused(load_weights, path, dense(), match=r"heap of its own.*libver='earliest'")


# ------------------------------------------------------------------------------------ npz and the rest


def npz_member(path, header, data=b""):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, header)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("00_dense/kernel.npy", buffer.getvalue() + data)
    return path


@pytest.mark.parametrize(
    ("header", "match"),
    [
        ({"descr": "<f4", "fortran_order": False, "shape": (10**12,)}, "has 8 bytes for an array of shape"),
        ({"descr": "<f4", "fortran_order": False, "shape": (-2, -1)}, "for an array of shape"),
        ({"descr": "|O", "fortran_order": False, "shape": (1,)}, "pickled objects"),
        ({"descr": "|V0", "fortran_order": False, "shape": (8,)}, "npy has 8 bytes|damaged"),
    ],
)
def test_arrays_that_are_not_there(tmp_path, header, match):
    path = npz_member(tmp_path / "w.npz", header, bytes(8))
    refused(load_weights, path, dense(), match=match)


def test_metrics_and_layers_that_claim_any_size(tmp_path, model):
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.save(tmp_path / "m.keras")

    def metric(members):
        config = json.loads(members["config.json"])
        config["compile_config"]["metrics"] = [
            {"module": "keras.metrics", "class_name": "AUC", "config": {"num_thresholds": 10**11}}
        ]
        members["config.json"] = json.dumps(config).encode()

    def layer(members):
        config = json.loads(members["config.json"])
        config["config"]["layers"][-1]["config"]["units"] = 10**13
        members["config.json"] = json.dumps(config).encode()

    refused(load_model, rezip(tmp_path / "m.keras", tmp_path / "a.keras", metric), match="expected num_thresholds from")
    refused(load_model, rezip(tmp_path / "m.keras", tmp_path / "b.keras", layer), match="kernel has shape")


# ----------------------------------------------------------------------------- truncated and killed


@pytest.mark.parametrize("ending", [*MODELS, *WEIGHTS])
def test_truncated_anywhere(tmp_path, model, ending):
    path = tmp_path / f"m{ending}"
    whole = ending in MODELS
    model.save(path) if whole else model.save_weights(path)
    data = path.read_bytes()
    cut = tmp_path / f"cut{ending}"
    for size in [0, 1, 7, 50, 500, *(int(len(data) * share) for share in (0.3, 0.6, 0.9)), len(data) - 1]:
        cut.write_bytes(data[:size])
        with pytest.raises(ModelFileError, match=rf"cut\{ending}: ") as caught:
            load_model(cut) if whole else load_weights(chain(), cut)
        assert "\n" not in str(caught.value)


#: Saves over and over; the parent kills it at some moment.
SAVING = """
    import sys
    from pathlib import Path
    from minicnn.saving import load_model
    path, weights = Path(sys.argv[1]), sys.argv[2] == "weights"
    model = load_model(sys.argv[3])
    save = model.save_weights if weights else model.save
    print("ready", flush=True)
    while True:
        save(path)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="the signal that cannot be caught is POSIX")
@pytest.mark.parametrize(("ending", "kind"), [*((e, "model") for e in MODELS), *((e, "weights") for e in WEIGHTS)])
def test_killed_while_saving_the_old_file_is_whole(tmp_path, ending, kind):
    model = Sequential([Dense(600, input_shape=(500,), name="d")])
    model.save(tmp_path / "source.minicnn")
    path = tmp_path / f"m{ending}"
    model.save(path) if kind == "model" else model.save_weights(path)
    script = [sys.executable, "-c", textwrap.dedent(SAVING), str(path), kind, str(tmp_path / "source.minicnn")]
    child = subprocess.Popen(script, stdout=subprocess.PIPE, env=dict(os.environ))
    child.stdout.readline()
    time.sleep(0.05)
    child.kill()
    child.wait()
    child.stdout.close()
    again = load_model(path) if kind == "model" else Sequential([Dense(600, input_shape=(500,), name="d")])
    if kind == "weights":
        again.load_weights(path)
    for a, b in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("ending", [*MODELS, *WEIGHTS])
def test_an_error_while_saving_leaves_the_old_file_and_nothing_else(tmp_path, model, ending, monkeypatch):
    path = tmp_path / f"m{ending}"
    save = model.save if ending in MODELS else model.save_weights
    save(path)
    before = path.read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save(path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


# ----------------------------------------------------------------------------------- checkpoints


@pytest.mark.parametrize(("ending", "only"), [*((e, False) for e in MODELS), *((e, True) for e in WEIGHTS)])
def test_checkpoints_in_every_format(tmp_path, ending, only):
    model = chain()
    model.compile("adam", "mse")
    x, y = np.random.default_rng(0).random((4, 6, 6, 1)), np.ones((4, 3), np.float32)
    checkpoint = ModelCheckpoint(tmp_path / f"net-{{epoch}}{ending}", save_weights_only=only)
    model.fit(x, y, epochs=2, verbose=0, callbacks=[checkpoint])
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"net-1{ending}", f"net-2{ending}"]
    again = chain() if only else load_model(tmp_path / f"net-2{ending}")
    if only:
        again.load_weights(tmp_path / f"net-2{ending}")
    np.testing.assert_array_equal(again.predict(x), model.predict(x))
    with pytest.raises(ValueError, match=r"ModelCheckpoint: the ending of 'net\.pkl' must be one of"):
        ModelCheckpoint(tmp_path / "net.pkl", save_weights_only=only)


@pytest.mark.parametrize("ending", [".weights.h5", ".npz", ".safetensors"])
def test_layers_that_do_not_fit_are_skipped_with_a_warning(tmp_path, ending):
    source = chain()
    source.save_weights(tmp_path / f"w{ending}")
    other = Sequential([*chain().layers[:3], Dense(5)])
    before = other.get_weights()
    with pytest.raises(ModelFileError, match=r"kernel has shape \(32, 3\) in the file, \(32, 5\) in the model|more"):
        other.load_weights(tmp_path / f"w{ending}")
    with pytest.warns(UserWarning, match=r"skipped: .*kernel has shape \(32, 3\)"):
        other.load_weights(tmp_path / f"w{ending}", skip_mismatch=True)
    expected = [*source.get_weights()[:6], *before[6:]]
    for a, b in zip(other.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_ending_for_weights_is_no_ending_for_models(tmp_path):
    with pytest.raises(ValueError, match=r"the ending of 'm\.weights\.h5' is that of weights alone"):
        chain().save(tmp_path / "m.weights.h5")
    with pytest.raises(ValueError, match=r"the ending of 'm\.weights\.h5' is that of weights alone"):
        load_model(tmp_path / "m.weights.h5")


@pytest.mark.parametrize("ending", [*MODELS, *WEIGHTS])
def test_weights_out_of_whole_models(tmp_path, model, ending):
    path = tmp_path / f"m{ending}"
    model.save(path) if ending in MODELS else model.save_weights(path)
    other = chain()
    other.load_weights(path)
    for a, b in zip(other.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_both_layouts_under_both_endings(tmp_path, model):
    """Until 2.11 Keras wrote its old layout whatever the file was called."""
    model.save_weights(tmp_path / "new.weights.h5")
    model.save_weights(tmp_path / "old.h5")
    (tmp_path / "new.weights.h5").rename(tmp_path / "new.h5")
    (tmp_path / "old.h5").rename(tmp_path / "old.weights.h5")
    for name in ("new.h5", "old.weights.h5"):
        other = chain()
        other.load_weights(tmp_path / name)
        np.testing.assert_array_equal(other.get_weights()[0], model.get_weights()[0])
    model.load_weights(tmp_path / "old.weights.h5", by_name=True, skip_mismatch=True)
    with pytest.raises(ModelFileError, match="by_name needs the names of layers"):
        model.load_weights(tmp_path / "new.h5", by_name=True)


@pytest.mark.parametrize("ending", [".minicnn", ".keras"])
def test_networks_of_more_layers_than_anybody_has(tmp_path, model, ending):
    model.save(tmp_path / f"m{ending}")
    name = "config.json" if ending == ".keras" else "model.json"

    def grow(members):
        config = json.loads(members[name])
        described = config["config"] if ending == ".keras" else config["model"]["config"]
        flat = {"class_name": "Flatten", "config": {}}
        described["layers"] += [flat] * 6_000
        members[name] = json.dumps(config).encode()

    refused(load_model, rezip(tmp_path / f"m{ending}", tmp_path / f"x{ending}", grow), match="more than 5,000 layers")
