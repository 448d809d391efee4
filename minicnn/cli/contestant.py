"""`python -m minicnn.cli.contestant ENGINE FOLDER`: one side of `minicnn bench`, in a process of its own.

Reads what is to be trained from the folder (`Task`), trains it with minicnn or with Keras through their `fit`, and
writes ``ENGINE.json``. Both see the same weights at first and the same pictures in the same order.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from . import machine

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
# What Keras' layers of the same name take, of what ours say of themselves.
_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "Activation": ("activation",),
    "AveragePooling2D": ("pool_size", "strides", "padding"),
    "BatchNormalization": ("axis", "momentum", "epsilon", "center", "scale"),
    "Conv2D": (
        "filters", "kernel_size", "strides", "padding", "dilation_rate", "groups", "activation", "use_bias",
    ),
    "Dense": ("units", "activation", "use_bias"),
    "Dropout": ("rate",),
    "ELU": ("alpha",),
    "Flatten": (),
    "GlobalAveragePooling2D": (),
    "GlobalMaxPooling2D": (),
    "LeakyReLU": ("negative_slope",),
    "MaxPooling2D": ("pool_size", "strides", "padding"),
    "ReLU": ("max_value", "negative_slope", "threshold"),
    "Reshape": ("target_shape",),
    "Softmax": ("axis",),
    "ZeroPadding2D": ("padding",),
}  # fmt: skip
# Whose arguments would mean something else with the channels last.
_ABOUT_AXES = ("BatchNormalization", "Reshape")


def is_channels_first(model: Any) -> bool:
    """Whether pictures are (N, C, H, W)."""
    return any(getattr(layer, "data_format", None) == "channels_first" for layer in model.layers)


def describe_layers(model: Any) -> list[tuple[str, dict[str, Any]]]:
    """A chain's layers as (Keras' class, arguments); ValueError where Keras has none of the kind.

    Keras gets pictures as (N, H, W, C) in any case: on processors some of its backends know nothing else. Where ours
    are (N, C, H, W), a Permute before Flatten keeps the order that the weights of the dense layer belong to.
    """
    described: list[tuple[str, dict[str, Any]]] = []
    channels_first = is_channels_first(model)
    for layer in model.layers:
        kind, config = type(layer).__name__, layer.get_config()
        if kind == "InputLayer":
            continue
        own_padding = kind != "ZeroPadding2D" and not isinstance(config.get("padding", "same"), str)
        if kind not in _ARGUMENTS or own_padding or (channels_first and kind in _ABOUT_AXES):
            raise ValueError(f"{layer.describe()}: bench cannot build this layer in Keras")
        if kind == "Flatten" and channels_first and config["data_format"] != "channels_first":
            described.append(("Permute", {"dims": (3, 1, 2)}))
        described.append((kind, {name: config[name] for name in _ARGUMENTS[kind]}))
    return described


class Watch:
    """A callback, once mixed into either library's: the running loss and the clock after each batch."""

    def start(self) -> None:
        """Begin an epoch."""
        self.means: list[Any] = []
        self.times = [time.perf_counter()]

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Keep the figures as they come: turning them into numbers here would make a library wait for itself."""
        self.means.append((logs or {})["loss"])
        self.times.append(time.perf_counter())

    def losses(self, sizes: list[int]) -> list[float]:
        """The loss of each batch, from the running means."""
        seen = np.cumsum(sizes)
        totals = np.array([float(mean) for mean in self.means]) * seen
        return (np.diff(totals, prepend=0.0) / sizes).tolist()


def train(model: Any, watch: Any, task: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Train epoch by epoch, measuring on the test pictures after each; the clock stands still meanwhile."""
    x, y, batch_size = arrays["x_train"], arrays["y_train"], task["batch_size"]
    sizes = [min(batch_size, len(x) - begin) for begin in range(0, len(x), batch_size)]
    found: dict[str, Any] = {"losses": [], "steps": [], "epochs": [], "test": []}
    for epoch in range(task["epochs"]):
        order = np.random.default_rng([task["seed"], epoch]).permutation(len(x))
        shuffled = x[order], y[order]
        watch.start()
        begin = time.perf_counter()
        model.fit(*shuffled, batch_size=batch_size, epochs=1, shuffle=False, verbose=0, callbacks=[watch])
        found["epochs"].append(time.perf_counter() - begin)
        found["losses"] += watch.losses(sizes)
        found["steps"] += np.diff(watch.times).tolist()
        test = model.evaluate(
            arrays["x_test"], arrays["y_test"], batch_size=batch_size, verbose=0, return_dict=True
        )  # fmt: skip
        found["test"].append({name: float(value) for name, value in test.items()})
    return found


def with_minicnn(folder: Path, task: dict[str, Any]) -> tuple[Any, Any, str]:
    """The model, its watch and what it is."""
    import minicnn
    from minicnn.callbacks import Callback

    minicnn.set_seed(task["seed"])
    minicnn.set_num_threads(task["threads"])
    model = minicnn.load_model(folder / "model.minicnn").to(task["device"])
    watch = type("Watching", (Watch, Callback), {})()
    kernels = minicnn.kernels.current_kernels() if task["device"] == "cpu" else task["device"]
    return model, watch, f"minicnn {minicnn.__version__}, {kernels!r} kernels, {task['threads']} threads"


def with_keras(folder: Path, task: dict[str, Any]) -> tuple[Any, Any, str]:
    """The same network in Keras, its watch and what it is."""
    backend, wanted = task["backend"], task["device"]
    os.environ["KERAS_BACKEND"] = backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    library: Any = __import__(backend)
    _limit_threads(library, task["threads"])
    found = device_of_keras(library)
    if found != wanted:
        raise ValueError(f"Keras on {backend} {library.__version__} would compute on {found}, minicnn on {wanted}")
    import keras  # type: ignore[import-untyped]

    keras.utils.set_random_seed(task["seed"])
    shape = task["input_shape"]
    if task["channels_first"]:
        shape = [*shape[1:], shape[0]]
    stack = [getattr(keras.layers, kind)(**arguments) for kind, arguments in task["layers"]]
    model = keras.Sequential([keras.Input(shape), *stack])
    with np.load(folder / "weights.npz") as weights:
        model.set_weights([weights[f"arr_{i}"] for i in range(len(weights.files))])
    name, config = task["optimizer"]
    schedules = keras.optimizers.schedules
    decay = config.pop("decay", 0.0)
    if isinstance(config["learning_rate"], dict):
        config["learning_rate"] = schedules.deserialize(config["learning_rate"])
    elif decay:
        config["learning_rate"] = schedules.InverseTimeDecay(config["learning_rate"], 1, decay)
    model.compile(getattr(keras.optimizers, name)(**config), task["loss"], metrics=task["metrics"])
    watch = type("Watching", (Watch, keras.callbacks.Callback), {})()
    about = (
        f"Keras {keras.__version__} on {backend} {library.__version__}, fit() with jit_compile={model.jit_compile}, "
        f"float32, {task['threads']} threads{', cuda' if wanted == 'cuda' else ''}"
    )
    return model, watch, about


def _limit_threads(library: Any, threads: int) -> None:
    """Give the backend as many threads. The other knobs are set before this process starts."""
    if library.__name__ == "tensorflow":
        library.config.threading.set_intra_op_parallelism_threads(threads)
        library.config.threading.set_inter_op_parallelism_threads(threads)
    elif library.__name__ == "torch":
        library.set_num_threads(threads)


def device_of_keras(library: Any) -> str:
    """Where Keras computes on this backend: "cuda" where it finds such a GPU."""
    if library.__name__ == "tensorflow":
        found = bool(library.config.list_physical_devices("GPU"))
    elif library.__name__ == "jax":
        found = library.default_backend() == "gpu"
    else:
        found = library.cuda.is_available()
    return "cuda" if found else "cpu"


def main() -> None:
    """Train and write down how it went."""
    engine, folder = sys.argv[1], Path(sys.argv[2])
    task = json.loads((folder / "task.json").read_text(encoding="utf-8"))
    arrays = {name: np.load(folder / f"{name}.npy") for name in ARRAYS}
    if engine == "keras" and task["channels_first"]:
        for name in ("x_train", "x_test"):
            arrays[name] = np.ascontiguousarray(arrays[name].transpose(0, 2, 3, 1))
    model, watch, about = (with_minicnn if engine == "minicnn" else with_keras)(folder, task)
    first = np.asarray(model.predict(arrays["x_test"][:64], batch_size=64, verbose=0))
    found = train(model, watch, task, arrays)
    found |= {"about": about, "first predictions": first.tolist(), "peak MiB": (machine.resident_memory() or 0) / 2**20}
    (folder / f"{engine}.json").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
