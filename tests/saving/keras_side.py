"""What the round trips need of Keras, and cases that both sides build from the same lines."""

from __future__ import annotations

import inspect
import warnings

import h5py
import numpy as np

import minicnn.layers
import minicnn.losses
import minicnn.metrics
import minicnn.models
import minicnn.optimizers
import minicnn.schedules
from minicnn.saving import load_model
from tests.oracles import keras


class Ours:
    """minicnn under the names that the cases use."""

    name = "minicnn"
    layers = minicnn.layers
    losses = minicnn.losses
    metrics = minicnn.metrics
    optimizers = minicnn.optimizers
    schedules = minicnn.schedules
    model = minicnn.models.Model
    sequential = minicnn.models.Sequential

    @staticmethod
    def load(path):
        return load_model(path)

    @staticmethod
    def predict(model, x):
        return model.predict(x)


class Theirs:
    """Keras under the same names."""

    name = "keras"

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        module = keras()
        return {
            "layers": module.layers,
            "losses": module.losses,
            "metrics": module.metrics,
            "optimizers": module.optimizers,
            "schedules": module.optimizers.schedules,
            "model": module.Model,
            "sequential": module.Sequential,
        }[name]

    @staticmethod
    def load(path):
        model = keras().models.load_model(path)
        if path.suffix == ".h5" and getattr(model, "optimizer", None) is not None:
            restore_optimizer(model, path)
        return model

    @staticmethod
    def predict(model, x):
        result = model(x, training=False)
        several = isinstance(result, (list, tuple))
        arrays = [keras().ops.convert_to_numpy(y) for y in (result if several else [result])]
        return arrays if several else arrays[0]


def restore_optimizer(model, path):
    """Give a model's optimizer the state in an .h5 file.

    Keras 3.15 itself prepares the optimizer of such a file for no weights at all (it reads `_trainable_variables` of
    the model, which are those outside its layers), and then cannot train, not even with a file of its own.
    """
    optimizer = type(model.optimizer).from_config(model.optimizer.get_config())
    optimizer.build(model.trainable_variables)
    with h5py.File(path) as file:
        group = file["optimizer_weights"]
        arrays = [np.asarray(group[name]) for name in group.attrs["weight_names"]]
    assert len(arrays) == len(optimizer.variables)
    optimizer.set_weights(arrays)
    model.optimizer = optimizer


OURS, THEIRS = Ours(), Theirs()
#: From which side to which a file goes.
WAYS = [(OURS, THEIRS), (THEIRS, OURS)]
WAY_NAMES = ["to-keras", "from-keras"]


def other_layers():
    """The names of the layers that both have, models aside."""
    return shared(minicnn.layers.registry, keras().layers) - {"Sequential", "Model", "Layer"}


def shared(registry, module):
    """The names of the classes of a registry that a module of Keras has too."""
    entries = {registry.find(name) for name in registry.names()}
    return {entry.__name__ for entry in entries if inspect.isclass(entry) and hasattr(module, entry.__name__)}


def save(model, path):
    """Save on either side; Keras warns that HDF5 is old."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(path)


def train(model, x, y, steps):
    """Train on all of the data and give the losses."""
    losses = []
    for _ in range(steps):
        result = model.train_on_batch(x, y)
        losses.append(float(np.ravel(result[0] if isinstance(result, (list, tuple)) else result)[0]))
    return np.array(losses)


def spread(model):
    """Move every weight off its beginning, so that none is taken for another."""
    generator = np.random.default_rng(1)
    model.set_weights([(0.5 + 0.3 * generator.random(w.shape)).astype(np.float32) for w in model.get_weights()])
