"""Answering `import keras`: what is there, what is not, and leaving no trace."""

from __future__ import annotations

import importlib
import subprocess
import sys
import warnings

import pytest

import minicnn
from minicnn.compat import keras as compat
from minicnn.compat.keras.namespace import table
from minicnn.compat.keras.versions import VERSIONS, rules_of


@pytest.mark.parametrize("version", VERSIONS)
def test_every_name_of_every_module_is_there(install, version):
    install(version)
    for module, names in table(rules_of(version)).items():
        found = importlib.import_module(module)
        for name in names:
            assert getattr(found, name) is not None or name == "none", f"{module}.{name}"


def test_parents_of_every_module_are_modules():
    modules = table(rules_of("3"))
    assert all(name.rpartition(".")[0] in modules for name in modules if "." in name)


@pytest.mark.parametrize(
    "line",
    [
        "import keras",
        "from keras import applications, backend as K",
        "from keras.callbacks import Callback, EarlyStopping, LambdaCallback, History, ModelCheckpoint",
        "from keras.constraints import maxnorm",
        "from keras.datasets import mnist, fashion_mnist",
        "from keras.layers import Activation, Conv2D, Convolution2D, Dense, Dropout, Flatten, Lambda, MaxPool2D",
        "from keras.layers.convolutional import Convolution2D, MaxPooling2D, ZeroPadding2D",
        "from keras.layers.core import Dense, Dropout, Activation, Flatten",
        "from keras.layers.normalization import BatchNormalization",
        "from keras.models import Sequential, Model, load_model",
        "from keras.optimizers import SGD, Adam, RMSprop",
        "from keras.preprocessing.image import ImageDataGenerator",
        "from keras.regularizers import l2, l1_l2",
        "from keras.utils import np_utils, to_categorical, plot_model",
        "from keras.utils.np_utils import to_categorical",
        "from keras.utils.vis_utils import plot_model",
        "from keras.applications.vgg16 import VGG16, preprocess_input, decode_predictions",
        "from keras_tqdm import TQDMCallback, TQDMNotebookCallback",
        "import keras.backend as K",
        "from keras.mixed_precision import LossScaleOptimizer, Policy, set_global_policy",
        "from tensorflow.keras.mixed_precision import experimental as mixed_precision",
        "import tensorflow as tf; tf.keras.layers.Conv2D, tf.nn.relu, tf.reduce_max, tf.enable_eager_execution()",
        "from tensorflow import keras; keras.datasets.fashion_mnist.load_data",
        "from tensorflow.keras import layers, models; layers.Dense",
        "from tensorflow.keras.layers import Conv2D; from tensorflow.keras.preprocessing.image import load_img",
        "from keras.layers import *; Conv2D",
    ],
)
def test_import_lines_of_scripts(install, line):
    install()
    exec(line, {})


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("from keras.layers import Conv2DD", r"minicnn answers keras.layers without 'Conv2DD'; the nearest.*Conv2D"),
        ("import keras.layers.convolutionl", r"keras.layers without 'convolutionl'; the nearest.*convolutional"),
        ("import keras; keras.model", r"keras without 'model'; the nearest there is: .*models"),
        ("from keras.layers import LSTM", r"keras.layers without 'LSTM'; there are: Activation, Add, "),
        ("import tensorflow.estimator", r"tensorflow without 'estimator'; there are: "),
        ("import tensorflow as tf; tf.reduce_maximum", r"tensorflow without 'reduce_maximum'; the nearest.*reduce_max"),
    ],
)
def test_what_is_not_there_is_named_with_the_nearest_thing(install, line, text):
    install()
    with pytest.raises((ImportError, AttributeError), match=text):
        exec(line, {})


def test_hasattr_and_optional_imports_still_work(install):
    install()
    keras = importlib.import_module("keras")
    assert not hasattr(keras.layers, "LSTM")
    with pytest.raises(ImportError):
        importlib.import_module("keras.wrappers")


def test_uninstall_brings_back_what_was_imported_before(install):
    import keras as real

    layers_before, fit_before = sys.modules["keras.layers"], minicnn.Model.fit
    install()
    assert importlib.import_module("keras") is not real
    assert compat.installed()
    compat.uninstall()
    assert importlib.import_module("keras") is real
    assert sys.modules["keras.layers"] is layers_before
    assert minicnn.Model.fit is fit_before
    assert not hasattr(minicnn.Model, "fit_generator")
    assert not compat.installed()
    compat.uninstall()


def test_installing_twice_changes_the_version_and_uninstalls_once(install):
    before = list(sys.meta_path)
    install("2.0.8")
    install("2.3")
    assert importlib.import_module("keras").__version__ == "2.3.1"
    assert len(sys.meta_path) == len(before) + 1
    compat.uninstall()
    assert sys.meta_path == before


def test_a_process_that_installs_ends_without_a_word():
    code = "import minicnn.compat.keras as compat; compat.install(); import keras"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_an_unknown_version_leaves_things_as_they_are(install):
    with pytest.raises(ValueError, match=r"unknown version of Keras '2.2'; did you mean '2.3'"):
        install("2.2")
    assert not compat.installed()


def test_each_old_name_is_noted_once(install):
    install()
    from keras.layers import Dense

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", compat.OldName)
        Dense(output_dim=3, init="normal")
        Dense(output_dim=4)
    assert [str(warning.message) for warning in caught] == [
        "Dense(init=) is an old name; today it is kernel_initializer",
        "Dense(output_dim=) is an old name; today it is units",
    ]


def test_another_installation_notes_them_again(install):
    for _ in range(2):
        install()
        optimizers = importlib.import_module("keras.optimizers")
        with pytest.warns(compat.OldName, match=r"Adam\(lr=\)"):
            optimizers.Adam(lr=0.1)
