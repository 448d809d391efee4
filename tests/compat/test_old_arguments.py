"""Old arguments mean today's ones."""

from __future__ import annotations

import math

import numpy as np
import pytest

from minicnn import callbacks, constraints, layers, models, optimizers
from minicnn.compat.keras.notes import OldName, forget


@pytest.fixture
def keras(install):
    install()
    import keras

    return keras


def config_of(layer: layers.Layer) -> dict:
    return {name: value for name, value in layer.get_config().items() if name != "name"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (lambda k: k.Convolution2D(64, 5, 5, border_mode="same"), lambda: layers.Conv2D(64, (5, 5), padding="same")),
        (lambda k: k.Convolution2D(8, 3, nb_col=2), lambda: layers.Conv2D(8, (3, 2))),
        (
            lambda k: k.Convolution2D(nb_filter=8, nb_row=3, nb_col=2, subsample=(2, 1), dim_ordering="th"),
            lambda: layers.Conv2D(8, (3, 2), strides=(2, 1), data_format="channels_first"),
        ),
        (lambda k: k.Conv2D(8, 3, 2), lambda: layers.Conv2D(8, 3, 2)),
        (
            lambda k: k.Convolution2D(8, 3, 3, init="he_normal", bias=False, W_regularizer="l2", b_constraint="NonNeg"),
            lambda: layers.Conv2D(
                8, 3, kernel_initializer="he_normal", use_bias=False, kernel_regularizer="l2", bias_constraint="NonNeg"
            ),
        ),
        (
            lambda k: k.MaxPooling2D(pool_size=(2, 2), border_mode="same", dim_ordering="tf"),
            lambda: layers.MaxPooling2D((2, 2), padding="same"),
        ),
        (lambda k: k.ZeroPadding2D((1, 2, 3, 4)), lambda: layers.ZeroPadding2D(((1, 2), (3, 4)))),
        (lambda k: k.Dense(output_dim=3, init="uniform"), lambda: layers.Dense(3, kernel_initializer="random_uniform")),
        (lambda k: k.Dropout(p=0.25), lambda: layers.Dropout(0.25)),
        (
            lambda k: k.BatchNormalization(mode=0, beta_init="zero"),
            lambda: layers.BatchNormalization(beta_initializer="zeros"),
        ),
    ],
)
def test_layers(keras, old, new):
    assert config_of(old(keras.layers)) == config_of(new())


def test_the_policy_of_mixed_precision_has_an_old_and_a_new_name(keras):
    old, new = keras.mixed_precision.experimental, keras.mixed_precision
    try:
        forget()
        with pytest.warns(OldName, match=r"experimental\.set_policy\(\) is an old name; .*\.set_global_policy\(\)"):
            old.set_policy("mixed_bfloat16")
        assert new.global_policy() == old.global_policy() == new.dtype_policy() == new.Policy("mixed_bfloat16")
        assert keras.layers.Dense(3).compute_dtype == "bfloat16"
        new.set_global_policy("mixed_float16")
        assert new.DTypePolicy is new.Policy and keras.layers.Dense(3).compute_dtype == "float16"
        assert new.LossScaleOptimizer("sgd").inner_optimizer.learning_rate == 0.01
    finally:
        new.set_dtype_policy("float32")


def test_three_numbers_of_conv2d_are_rows_and_columns_for_keras_2(install):
    install("2.0.8")
    from keras.layers import Conv2D

    assert Conv2D(8, 3, 2).kernel_size == (3, 2)
    assert Conv2D(8, 3, 2).strides == (1, 1)


def test_input_dim_and_batch_input_shape(keras):
    model = keras.models.Sequential([keras.layers.Dense(3, input_dim=4)])
    assert model.count_params() == 15
    model = keras.models.Sequential([keras.layers.Flatten(batch_input_shape=(None, 2, 3))])
    assert model.output_shape == (None, 6)


def test_optimizers(keras):
    sgd = keras.optimizers.SGD(lr=0.01, momentum=0.9, decay=0.01 / 50, nesterov=False)
    assert isinstance(sgd, optimizers.SGD)
    assert (sgd.learning_rate, sgd.momentum, sgd.decay) == (0.01, 0.9, 0.0002)


def test_model_with_input_and_output(keras):
    x = keras.Input(shape=(3,), name="in")
    model = keras.models.Model(input=x, output=keras.layers.Dense(2)(x))
    assert type(model) is models.Model
    assert model.count_params() == 8


def test_regularizers_and_constraints(keras):
    layer = keras.layers.Dense(2, W_constraint=keras.constraints.maxnorm(m=3), W_regularizer=keras.regularizers.l2(0.1))
    assert isinstance(layer.kernel_constraint, constraints.MaxNorm)
    assert layer.kernel_constraint.max_value == 3


def test_merge(keras):
    a, b = keras.Input((4,)), keras.Input((4,))
    assert keras.layers.merge([a, b], mode="concat").shape == (None, 8)
    assert keras.layers.merge([a, b], mode="sum").shape == (None, 4)
    assert keras.layers.concatenate([a, b]).shape == (None, 8)
    with pytest.raises(ValueError, match=r"merge: mode must be one of sum, .*got 'dot'"):
        keras.layers.merge([a, b], mode="dot")


@pytest.mark.parametrize(("version", "patience"), [("2.0.8", 3), ("2.3", 2), ("3", 2)])
def test_patience_of_the_version(install, version, patience):
    install(version)
    from keras.callbacks import EarlyStopping

    by_name = EarlyStopping(monitor="val_loss", min_delta=0, patience=2, verbose=0, mode="auto")
    assert isinstance(by_name, callbacks.EarlyStopping)
    assert by_name.patience == patience
    assert EarlyStopping("val_loss", 0, 2).patience == patience
    assert EarlyStopping().patience == patience - 2


def test_besbes_curve_stops_where_keras_2_0_8_stopped(install):
    # The article's validation losses from epoch 26 on: best at 31, and three worse ones after it ended the run.
    losses = [0.271, 0.268, 0.280, 0.273, 0.266, 0.257, 0.270, 0.270, 0.263]

    class Model:
        stop_training = False

    def last_epoch(version):
        install(version)
        from keras.callbacks import EarlyStopping

        stopping, model = EarlyStopping(monitor="val_loss", patience=2), Model()
        stopping.set_model(model)
        stopping.on_train_begin()
        for epoch, loss in enumerate(losses, 26):
            stopping.on_epoch_end(epoch, {"val_loss": loss})
            if model.stop_training:
                return epoch
        return None

    assert last_epoch("2.0.8") == 34
    assert last_epoch("2.3") == 29


@pytest.mark.parametrize(("version", "degrees", "order"), [("2.0.8", math.degrees(0.2), 0), ("2.3", 0.2, 1)])
def test_shear_and_interpolation_of_the_version(install, version, degrees, order):
    install(version)
    from keras.preprocessing.image import ImageDataGenerator

    generator = ImageDataGenerator(rescale=1 / 255, shear_range=0.2)
    assert generator.shear_range == pytest.approx(degrees)
    assert generator.interpolation_order == order


def test_checkpoint_period(keras, tmp_path):
    assert keras.callbacks.ModelCheckpoint(str(tmp_path / "m.minicnn"), period=1).save_freq == "epoch"
    with pytest.raises(ValueError, match=r"ModelCheckpoint: period= above 1 is gone; use save_freq="):
        keras.callbacks.ModelCheckpoint(str(tmp_path / "m.minicnn"), period=2)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda k: k.Dense(units=3, output_dim=3), r"Dense: output_dim is an old name of units; give only one"),
        (lambda k: k.Convolution2D(8, nb_row=3), r"Conv2D: nb_row .* and nb_col .* belong together"),
        (lambda k: k.BatchNormalization(mode=1), r"BatchNormalization: of Keras 1's modes only 0"),
    ],
)
def test_arguments_that_make_no_sense(keras, make, text):
    with pytest.raises((TypeError, ValueError), match=text):
        make(keras.layers)


def test_subclasses_and_isinstance_see_through(keras):
    class Named(keras.layers.Conv2D):
        pass

    assert isinstance(Named(2, 3), keras.layers.Conv2D)
    assert isinstance(layers.Conv2D(2, 3), keras.layers.Conv2D)
    assert not isinstance(layers.Dense(2), keras.layers.Conv2D)
    assert issubclass(Named, keras.layers.Conv2D)
    assert type(keras.layers.Conv2D(2, 3)) is layers.Conv2D
    assert keras.layers.Conv2D.__name__ == "Conv2D"


def test_data_format_set_in_the_backend(keras):
    keras.backend.set_image_dim_ordering("th")
    assert keras.layers.Conv2D(2, 3).data_format == "channels_first"
    assert keras.layers.MaxPooling2D(data_format="channels_last").data_format == "channels_last"
    assert keras.backend.image_data_format() == "channels_first"
    keras.backend.set_image_data_format("channels_last")
    assert keras.layers.Flatten().data_format == "channels_last"
    with pytest.raises(ValueError, match=r"set_image_data_format: expected 'channels_last' or"):
        keras.backend.set_image_data_format("th")


def test_to_categorical_with_nb_classes(keras):
    y = keras.utils.np_utils.to_categorical([3], nb_classes=10)
    np.testing.assert_array_equal(y, [[0, 0, 0, 1, 0, 0, 0, 0, 0, 0]])
