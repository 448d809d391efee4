from __future__ import annotations

import copy
import pickle
import threading
import time
from typing import Any

import numpy as np
import pytest

import minicnn
import minicnn.functional as F
from minicnn import Tensor, layers
from minicnn.autograd import as_array
from minicnn.layers import BatchNormalization, Conv2D, Dense, Dropout, Input, Layer
from minicnn.parameter import Parameter


class Scale(Layer):
    def build(self, input_shape: Any) -> None:
        self.factor = self.add_weight((input_shape[-1],), "ones", name="factor")

    def call(self, x: Any) -> Any:
        return x * self.factor


class Block(Layer):
    def __init__(self, **options: Any):
        super().__init__(**options)
        self.branches = [Dense(3), {"inner": Dense(2)}]
        self.normalize = BatchNormalization()

    def call(self, x: Any, training: bool = False) -> Any:
        a = self.branches[0](x)
        return self.normalize(self.branches[1]["inner"](a))


def test_names_count_up_by_class() -> None:
    names = [layer.name for layer in (Conv2D(1, 1), Conv2D(1, 1), layers.MaxPooling2D(), layers.ReLU(), Dense(1))]
    assert names == ["conv2d", "conv2d_1", "max_pooling2d", "re_lu", "dense"]
    assert layers.GlobalAveragePooling2D().name == "global_average_pooling2d"
    assert layers.BatchNormalization().name == "batch_normalization"
    assert Dense(1, name="top").name == "top"
    assert Dense(1).name == "dense_1"


def test_own_layers_need_only_build_and_call() -> None:
    layer = Scale()
    y = layer(np.array([[1.0, 2.0]]))
    assert isinstance(y, Tensor)
    np.testing.assert_array_equal(y.numpy(), np.array([[1, 2]], "float32"))
    assert [p.name for p in layer.weights] == ["scale/factor"]
    assert layer.input_shape == (None, 2)
    assert layer.output_shape == (None, 2)
    assert layer(Input((2,))).shape == (None, 2)


def test_the_shape_of_an_own_layer_is_found_on_zeros() -> None:
    class Pairs(Layer):
        def call(self, x: Any) -> Any:
            return [F.sum(x, axis=-1), x[:, :2]]

    a, b = Pairs()(Input((5, 3)))
    assert a.shape == (None, 5)
    assert b.shape == (None, 2, 3)
    with pytest.raises(
        ValueError, match=r"Pairs 'pairs_1': an input of open size \(None, None, 3\) needs a compute_out"
    ):
        Pairs()(Input((None, 3)))


def test_layers_in_lists_and_dicts_belong_to_the_layer() -> None:
    layer = Block()
    x = np.random.default_rng(0).standard_normal((4, 5))
    layer(x)
    assert len(layer.sublayers) == 3
    assert len(layer.weights) == 8
    assert len(layer.trainable_weights) == 6
    assert [p.name.split("/")[1] for p in layer.non_trainable_weights] == ["moving_mean", "moving_variance"]
    assert layer.count_params() == (5 * 3 + 3) + (3 * 2 + 2) + 4 * 2
    assert layer.multiply_adds((None, 5)) == 15 + 6
    layer.trainable = False
    assert layer.trainable_weights == []
    assert len(layer.non_trainable_weights) == 8
    layer.trainable = True
    assert len(layer.trainable_weights) == 6


def test_training_reaches_the_layers_inside() -> None:
    layer = Block()
    x = np.random.default_rng(0).standard_normal((4, 5))
    layer(x)
    before = layer.normalize.moving_mean.numpy().copy()
    layer(x, training=False)
    np.testing.assert_array_equal(layer.normalize.moving_mean.numpy(), before)
    layer(x, training=True)
    assert (layer.normalize.moving_mean.numpy() != before).any()


def test_training_is_forgotten_after_the_call_and_after_an_error() -> None:
    class Fails(Layer):
        def call(self, x: Any, training: bool = False) -> Any:
            raise ArithmeticError("on purpose")

    x = np.ones((4, 4))
    with pytest.raises(ArithmeticError):
        Fails()(x, training=True)
    np.testing.assert_array_equal(Dropout(0.9)(x).numpy(), x)


def test_add_weight_takes_its_arguments_in_keras_order() -> None:
    weight = Layer(name="own").add_weight((2, 3), "ones", "float64", False, name="scale")
    assert (weight.shape, weight.dtype, weight.trainable) == ((2, 3), np.float64, False)
    assert weight.name == "own/scale"
    with pytest.raises(
        TypeError, match=r"Layer 'own': add_weight: shape must be a tuple of whole numbers, got 'scale'"
    ):
        Layer(name="own").add_weight("scale", (2, 3))
    with pytest.raises(TypeError, match=r"got \(None, 3\)"):
        Layer().add_weight((None, 3))


def test_weights_come_in_keras_order() -> None:
    class Mixed(Layer):
        def build(self, input_shape: Any) -> None:
            self.inner = Dense(2)
            self.inner.build(input_shape)
            self.count = self.add_weight((), "zeros", trainable=False, name="count")
            self.kernel = self.add_weight((3,), name="kernel")

    layer = Mixed()
    layer.build((None, 4))
    assert [p.name for p in layer.weights] == ["mixed/kernel", "mixed/count", "dense/kernel", "dense/bias"]


def listed(weights: list[Any]) -> list[int]:
    """What can be compared: tensors compare element by element."""
    return [id(weight) for weight in weights]


def test_a_weight_that_is_replaced_is_gone_and_the_new_one_stands_in_its_place() -> None:
    layer = Dense(3)
    layer.build((None, 4))
    bias, other = layer.bias, Parameter((4, 3), initializer=minicnn.initializers.get("ones"), name="other")
    layer.kernel = other
    assert listed(layer.weights) == listed([other, bias])
    assert layer.count_params() == 15
    fixed = Parameter((4, 3), initializer=minicnn.initializers.get("ones"), name="fixed", trainable=False)
    layer.kernel = fixed
    assert listed(layer.weights) == listed([bias, fixed])
    assert listed(layer.trainable_weights) == listed([bias])
    layer.bias = None
    assert listed(layer.weights) == listed([fixed])
    del layer.kernel
    assert listed(layer.weights) == listed([])


def test_a_weight_stays_as_long_as_one_attribute_holds_it() -> None:
    layer = Dense(3)
    layer.build((None, 4))
    kernel, bias = layer.weights
    layer.twice = kernel
    layer.kernel = layer.kernel
    layer.kernel = Parameter((4, 3), initializer=minicnn.initializers.get("ones"))
    assert listed(layer.weights) == listed([kernel, bias, layer.kernel])
    # Tied: one stands in for both.
    layer.twice = layer.kernel
    assert listed(layer.weights) == listed([layer.kernel, bias])


def test_a_layer_built_twice_keeps_the_weights_of_the_second_time() -> None:
    layer = Dense(3)
    layer.build((None, 4))
    layer.build((None, 5))
    assert listed(layer.weights) == listed([layer.kernel, layer.bias])
    assert layer.count_params() == 18


def test_get_weights_are_copies() -> None:
    layer = Dense(2)
    layer.build((None, 3))
    layer.get_weights()[0][:] = 7
    assert (layer.kernel.numpy() != 7).all()


def test_weights_depend_on_the_seed_sequence_alone() -> None:
    def kernels(order: list[int]) -> list[np.ndarray]:
        layer = Block()
        layer.seed_sequence = np.random.SeedSequence(3)
        layer.normalize.build((None, 2))
        for i in range(2):
            layer.sublayers[i].build((None, 5))
        values = {i: layer.sublayers[i].weights[0].numpy() for i in order}
        return [values[0], values[1]]

    for a, b in zip(kernels([0, 1]), kernels([1, 0]), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_global_seed_reaches_layers_without_a_model() -> None:
    minicnn.set_seed(1)
    a = Dense(3)
    a.build((None, 4))
    minicnn.set_seed(1)
    b = Dense(3)
    b.build((None, 4))
    np.testing.assert_array_equal(a.kernel.numpy(), b.kernel.numpy())


def test_layers_set_after_the_seed_take_theirs_from_it() -> None:
    def kernel() -> np.ndarray:
        layer = Layer()
        layer.seed_sequence = np.random.SeedSequence(3)
        layer.inner = [Dense(2)]  # type: ignore[attr-defined]
        layer.sublayers[0].build((None, 4))
        return layer.get_weights()[0]

    np.testing.assert_array_equal(kernel(), kernel())


def test_whole_numbers_are_cast_and_the_dtype_is_the_layers() -> None:
    pictures = np.arange(32, dtype="uint8").reshape(2, 4, 4, 1)
    assert Conv2D(2, 3)(pictures).dtype == np.float32
    assert Conv2D(2, 3, dtype="float64")(pictures).dtype == np.float64
    assert Conv2D(2, 3)(pictures.astype("float64")).dtype == np.float32
    assert Dense(2)([[1, 2], [3, 4]]).dtype == np.float32
    assert layers.Flatten()(pictures).dtype == np.float32
    x = Tensor(np.ones((2, 3)), requires_grad=True)
    Dense(2)(x).sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == np.float64


def test_a_layer_without_autocast_sees_what_came() -> None:
    class Look(Layer):
        autocast = False

        def call(self, x: Any) -> Any:
            return F.one_hot(x, 3, "float32")

    y = Look()(np.array([2, 0]))
    np.testing.assert_array_equal(as_array(y), np.eye(3, dtype="float32")[[2, 0]])


def test_regularisers_give_losses() -> None:
    layer = Dense(2, kernel_regularizer="l2", bias_regularizer="l1")
    layer.build((None, 3))
    assert len(layer.losses) == 2
    assert layer.losses[0].item() == pytest.approx(0.01 * (layer.kernel.numpy() ** 2).sum(), rel=1e-6)
    layer.trainable = False
    assert layer.losses == []


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_layers_can_be_copied_and_pickled(copied: Any) -> None:
    x = np.random.default_rng(0).standard_normal((2, 6, 6, 3)).astype("float32")
    for layer in (
        Conv2D(4, 3, activation="relu", kernel_regularizer="l2"),
        layers.ReLU(max_value=1.0),
        layers.LeakyReLU(),
        layers.Softmax(axis=1),
        BatchNormalization(),
        layers.Lambda("tanh"),
        Dropout(0.5),
        Block(),
    ):
        y = layer(x)
        layer(Input((6, 6, 3)))
        twin = copied(layer)
        assert twin.inbound_nodes == []
        assert twin.name == layer.name
        np.testing.assert_array_equal(twin(x).numpy(), y.numpy())
        for weight in twin.weights:
            weight.data = weight.data + 1
        np.testing.assert_array_equal(layer(x).numpy(), y.numpy())


def test_one_layer_is_built_once_by_many_threads() -> None:
    class Slow(Scale):
        def build(self, input_shape: Any) -> None:
            time.sleep(0.02)
            self.factor = self.add_weight((input_shape[-1],), "random_normal", name="factor")

    layer = Slow()
    x = np.ones((1, 6), "float32")
    results: list[Any] = []
    barrier = threading.Barrier(8)

    def work() -> None:
        barrier.wait()
        results.append(layer(x).numpy())

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(layer.weights) == 1
    assert len(results) == 8
    for y in results:
        np.testing.assert_array_equal(y, results[0])


def test_a_new_picture_size_is_accepted_without_new_weights() -> None:
    layer = Conv2D(2, 3)
    layer(np.ones((1, 6, 6, 2)))
    assert layer(np.ones((1, 9, 7, 2))).shape == (1, 7, 5, 2)
    assert len(layer.weights) == 2
    assert layer.input_shape == (None, 6, 6, 2)


def test_input_shape_declares_one_sample() -> None:
    assert Conv2D(2, 3, input_shape=(28, 28, 1)).batch_input_shape == (None, 28, 28, 1)
    assert Dense(2, input_shape=784).batch_input_shape == (None, 784)
    assert Dense(2).batch_input_shape is None
    assert Dense(2, input_shape=(784,)).get_config()["input_shape"] == [784]
