"""The networks: Keras' layers and names, weights from files, and what is refused."""

from __future__ import annotations

import io
import warnings
import zipfile

import numpy as np
import pytest

from minicnn import Input, Model, load_model
from minicnn.applications import VGG16, ResNet50, SqueezeNet, squeezenet
from minicnn.applications.files import find_file
from minicnn.applications.imagenet_utils import class_index
from minicnn.datasets import DataError
from minicnn.preprocessing import Preprocessing, fit_picture
from tests import real_data
from tests.applications.imagenet import write_classes
from tests.oracles import keras, torch

NETWORKS = {"VGG16": VGG16, "ResNet50": ResNet50}


# Counted from the papers' tables by Keras' own summary.
@pytest.mark.parametrize(
    ("build", "with_top", "without"),
    [
        (VGG16, 138_357_544, 14_714_688),
        (ResNet50, 25_636_712, 23_587_712),
        (SqueezeNet, 1_235_496, 722_496),
    ],
)
def test_parameters_and_shapes(build, with_top, without):
    model = build(weights=None)
    assert model.count_params() == with_top
    assert model.output_shape == (None, 1000)
    bare = build(weights=None, include_top=False)
    assert bare.count_params() == without
    assert bare.input_shape == (None, None, None, 3)
    assert build(weights=None, include_top=False, pooling="max").output_shape == (None, bare.output_shape[-1])
    assert not any(weight.materialised for weight in (*model.weights, *bare.weights))


@pytest.mark.parametrize(("name", "top"), [("VGG16", False), ("ResNet50", False), ("ResNet50", True)])
def test_layers_and_weights_are_called_as_keras_calls_them(name, top):
    arguments = {"include_top": top, "weights": None, "input_shape": (32, 32, 3)}
    arguments |= {"classes": 2} if top else {}
    theirs = getattr(keras().applications, name)(**arguments)
    ours = NETWORKS[name](**arguments)
    assert ours.name == theirs.name
    assert [layer.name for layer in ours.layers[1:]] == [layer.name for layer in theirs.layers[1:]]
    for layer, other in zip(ours.layers[1:], theirs.layers[1:], strict=True):
        assert type(layer).__name__ == type(other).__name__
        assert [(w.name.split("/")[-1], w.shape) for w in layer.weights] == [
            (w.name, tuple(w.shape)) for w in other.weights
        ]


def test_the_top_of_vgg16_is_called_as_keras_calls_it():
    names = [layer.name for layer in VGG16(weights=None).layers[-4:]]
    assert names == ["flatten", "fc1", "fc2", "predictions"]


def test_a_network_of_other_classes_on_pictures_of_another_size():
    model = SqueezeNet(weights=None, classes=2, input_shape=(20, 33, 1), classifier_activation=None, name="small")
    assert (model.name, model.output_shape) == ("small", (None, 2))
    x = np.random.default_rng(0).normal(size=(2, 20, 33, 1))
    np.testing.assert_array_equal(model.predict(x), Model(model.input, model.get_layer("pool10").output).predict(x))


def test_a_network_on_an_input_of_the_callers():
    x = Input((40, 40, 3), name="picture")
    model = SqueezeNet(include_top=False, weights=None, input_tensor=x, pooling="avg")
    assert model.input_names == ["picture"]
    assert Model(x, model.output).predict(np.ones((1, 40, 40, 3))).shape == (1, 512)


@pytest.mark.parametrize("height", range(3, 11))
@pytest.mark.parametrize("width", [5, 8])
def test_a_last_window_that_is_not_full_counts_as_in_caffe(height, width):
    x = np.random.default_rng(0).normal(size=(1, height, width, 2)).astype("float32")
    expected = torch().nn.functional.max_pool2d(torch().tensor(x.transpose(0, 3, 1, 2)), 3, 2, ceil_mode=True)
    for shape in ((height, width, 2), (None, None, 2)):
        start = Input(shape)
        pool = Model(start, squeezenet._ceil_pool(start, "pool"))
        np.testing.assert_array_equal(pool.predict(x), expected.numpy().transpose(0, 2, 3, 1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (31, 40, 3)}, r"vgg16: input_shape must be at least 32x32 pixels, got \(31, 40, 3\)"),
        ({"input_shape": (40, 40)}, r"input_shape must be \(height, width, channels\), all of them known"),
        ({"input_shape": (None, 40, 3)}, r"all of them known where include_top=True, got \(None, 40, 3\)"),
        ({"include_top": False, "input_shape": (None, 40, None)}, r"\(height, width, channels\), got"),
        ({"include_top": False, "pooling": "mean"}, "unknown pooling 'mean'; expected one of: avg, max; None leaves"),
        ({"weights": "imagenet", "classes": 2}, "weights='imagenet' with include_top=True is for 1000 classes, got 2"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        VGG16(**{"weights": None, **arguments})


# ------------------------------------------------------------------------------------------ weights from files


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (VGG16, r"vgg16: weights='imagenet' needs vgg16_weights_tf_dim_ordering_tf_kernels_notop\.h5, which is not on"),
        (VGG16, r"get it from https://storage\.googleapis\.com/tensorflow/keras-applications/vgg16/vgg16_weights_tf"),
        (ResNet50, r"applications/resnet/resnet50_weights_tf_dim_ordering_tf_kernels_notop\.h5 \(Keras itself keeps"),
        (SqueezeNet, r"squeezenet: weights='imagenet' needs squeezenet_v1\.1_imagenet\.npz, which is not on this"),
    ],
)
def test_published_weights_that_are_not_here_say_where_they_are(elsewhere, build, message):
    with pytest.raises(DataError, match=message):
        build(include_top=False)


def test_a_damaged_file_of_published_weights_is_refused(elsewhere):
    folder = elsewhere / "keras" / "models"
    folder.mkdir(parents=True)
    (folder / "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5").write_bytes(b"half of it")
    with pytest.raises(DataError, match="not the published file, or damaged: expected md5 6d6bbae143d83200"):
        VGG16(include_top=False)


def test_a_path_without_a_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="resnet50: weights must be None, 'imagenet' or the path of a file"):
        ResNet50(weights=tmp_path / "none.h5")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("VGG16", {"include_top": False, "input_shape": (33, 40, 3)}),
        ("ResNet50", {"include_top": False, "input_shape": (33, 40, 3), "pooling": "avg"}),
        ("ResNet50", {"classes": 7, "input_shape": (32, 32, 3)}),
    ],
)
def test_a_file_that_keras_wrote_gives_what_keras_predicts(tmp_path, name, arguments):
    generator = np.random.default_rng(0)
    theirs = getattr(keras().applications, name)(weights=None, **arguments)
    # Drawn weights leave batch normalisation at rest; trained ones do not.
    for layer in theirs.layers:
        if type(layer).__name__ == "BatchNormalization":
            layer.set_weights([generator.uniform(0.5, 1.5, w.shape) for w in layer.weights])
    path = tmp_path / "theirs.h5"
    x = generator.uniform(-120, 130, (2, *arguments["input_shape"])).astype("float32")
    with warnings.catch_warnings():
        # Keras advises its newer format, and NumPy advises Keras.
        warnings.simplefilter("ignore")
        write_as_published(theirs, path)
        expected = theirs.predict(x, verbose=0)
    found = NETWORKS[name](weights=path, **arguments).predict(x)
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def write_as_published(model, path):
    """Write weights in Keras' old layout, as its published files are; Keras 3 still writes it for whole models."""
    import h5py

    whole = path.with_name("whole.h5")
    model.save(whole)
    with h5py.File(whole) as file, h5py.File(path, "w") as published:
        for key in file["model_weights"]:
            file.copy(f"model_weights/{key}", published)
        published.attrs.update(file["model_weights"].attrs)


def release(model, path):
    """Write a SqueezeNet's weights as its release has them."""
    arrays = {weight.name.replace("_", "/"): weight.numpy() for weight in model.weights}
    np.savez(path, **arrays)
    return arrays


def test_squeezenet_reads_its_release(elsewhere):
    drawn = SqueezeNet(weights=None)
    folder = elsewhere / "squeezenet"
    folder.mkdir()
    arrays = release(drawn, folder / "squeezenet_v1.1_imagenet.npz")
    assert list(arrays)[:3] == ["conv1/kernel", "conv1/bias", "fire2/squeeze1x1/kernel"]
    assert len(arrays) == 52
    read = SqueezeNet()
    for weight, other in zip(read.weights, drawn.weights, strict=True):
        np.testing.assert_array_equal(weight.numpy(), other.numpy())
    # Without the top, what belongs to it is left in the file.
    bare = SqueezeNet(include_top=False)
    np.testing.assert_array_equal(bare.weights[-1].numpy(), drawn.get_layer("fire9_expand3x3").weights[1].numpy())


def test_files_of_a_network_say_what_it_sees_and_gives(elsewhere):
    write_classes(elsewhere, "imagenet_classes.txt")
    release(SqueezeNet(weights=None), elsewhere / "squeezenet_v1.1_imagenet.npz")
    SqueezeNet().save(elsewhere / "squeezenet.minicnn")
    model = load_model(elsewhere / "squeezenet.minicnn")
    assert model.class_names[:2] == ["thing_0", "thing_1"]
    x = np.random.default_rng(0).integers(0, 256, (2, 227, 227, 3), np.uint8)
    prepared = Preprocessing.from_config(model.preprocessing["input"])(x)
    np.testing.assert_array_equal(prepared, squeezenet.preprocess_input(x))
    # What is said of networks on pictures of any size, or in grey, holds for these too.
    assert Preprocessing.from_config(VGG16(weights=None, include_top=False).preprocessing["input"]).shape is None
    assert SqueezeNet(weights=None, input_shape=(32, 32, 1)).preprocessing is None


def test_squeezenet_reads_what_it_saved(tmp_path):
    drawn = SqueezeNet(weights=None, classes=3)
    for ending in ("npz", "safetensors"):
        drawn.save_weights(tmp_path / f"own.{ending}")
        read = SqueezeNet(weights=tmp_path / f"own.{ending}", classes=3)
        np.testing.assert_array_equal(read.weights[-2].numpy(), drawn.weights[-2].numpy())


def test_a_release_that_lacks_something_or_is_for_other_classes(tmp_path):
    path = tmp_path / "weights.npz"
    arrays = release(SqueezeNet(weights=None), path)
    with pytest.raises(ValueError, match=r"conv2d/kernel has shape \(1, 1, 512, 1000\) in the file, \(1, 1, 512, 2\)"):
        SqueezeNet(weights=path, classes=2)
    del arrays["fire2/squeeze1x1/bias"]
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=r"the weights do not fit the model: missing: .*conv2d/bias \(16,\)"):
        SqueezeNet(weights=path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"not an? \.npz file, or"):
        SqueezeNet(weights=path)
    np.savez_compressed(path, zeros=np.zeros(30_000_000, np.uint8), **{"conv1/kernel": np.zeros(3)})
    with pytest.raises(ValueError, match="unpacks to"):
        SqueezeNet(weights=path)


# ----------------------------------------------------------------------------------------------- the real thing


def test_squeezenet_knows_cats_from_dogs():
    """Its own top class lies in the right group for at least 55 of 80 pictures (57 when the data was prepared)."""
    if find_file("squeezenet_v1.1_imagenet.npz") is None or (archive := find_file("train.zip")) is None:
        real_data.missing("the SqueezeNet weights or the cats and dogs are not in $MINICNN_DATA")
    names = [f"train/{kind}.{number}.jpg" for kind in ("cat", "dog") for number in range(100, 140)]
    with zipfile.ZipFile(archive) as pictures:
        x = np.stack([fit_picture(io.BytesIO(pictures.read(name)), (227, 227)) for name in names])
    winners = SqueezeNet().predict(squeezenet.preprocess_input(x)).argmax(axis=1)
    # ImageNet's dogs, and its cat family from the tabby to the cheetah.
    dogs, cats = (winners >= 151) & (winners <= 268), (winners >= 281) & (winners <= 293)
    assert cats[:40].sum() + dogs[40:].sum() >= 55
    index = class_index()
    assert (index[151][1], index[281][1], index[293][1]) == ("Chihuahua", "tabby", "cheetah")
