"""How models are put together: chains, graphs, parts of graphs, subclasses."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from minicnn.autograd import Tensor
from minicnn.layers import (
    Activation,
    Add,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Input,
    Lambda,
    Layer,
    MaxPooling2D,
)
from minicnn.models import Model, Sequential


def pictures(n=3, height=8, width=8, channels=1, seed=0):
    return np.random.default_rng(seed).standard_normal((n, height, width, channels)).astype(np.float32)


def small_chain():
    return Sequential([Conv2D(2, 3, activation="relu", input_shape=(8, 8, 1)), MaxPooling2D(), Flatten(), Dense(3)])


def test_chain_runs_its_layers_in_order():
    model = small_chain()
    x = pictures()
    y = x
    for layer in model.layers:
        y = layer(y)
    np.testing.assert_array_equal(model.predict(x), y.numpy())
    assert model.output_shape == (None, 3)
    assert [type(layer).__name__ for layer in model.layers] == ["Conv2D", "MaxPooling2D", "Flatten", "Dense"]


def test_input_may_be_first_element_or_come_with_the_first_layer_or_with_build_or_with_data():
    first = Sequential([Input((4,)), Dense(2)])
    argument = Sequential([Dense(2, input_shape=(4,))])
    built = Sequential([Dense(2)])
    assert not built.built
    built.build((None, 4))
    called = Sequential([Dense(2)])
    called.predict(np.zeros((1, 4)))
    for model in (first, argument, built, called):
        assert model.count_params() == 10
        assert model.input_shape == (None, 4)
        assert len(model.layers) == 1


def test_deferred_chain_that_did_not_fit_can_be_built_with_data_that_do():
    model = Sequential([Conv2D(2, 3), Flatten(), Dense(2)])
    with pytest.raises(ValueError, match="axes"):
        model.predict(np.zeros((2, 5)))
    assert model.predict(pictures()).shape == (3, 2)


def test_add_and_pop():
    model = small_chain()
    last = model.pop()
    assert isinstance(last, Dense) and model.output_shape == (None, 18)
    model.add(Dense(5, activation="softmax"))
    assert model.predict(pictures()).shape == (3, 5)
    with pytest.raises(TypeError, match="add expects a layer, but int came: 5"):
        model.add(5)
    with pytest.raises(ValueError, match="names must differ"):
        model.add(model.layers[-1])
    with pytest.raises(ValueError, match="no layer to take away"):
        Sequential().pop()


def test_layer_after_pop_has_its_output_in_the_new_place_only():
    model = Sequential([Dense(2, input_shape=(3,)), Dense(4)])
    layer = model.pop()
    model.add(layer)
    assert layer.output.shape == (None, 4)


def test_branches_join():
    x = Input((6,))
    left, right = Dense(4, activation="tanh"), Dense(4)
    model = Model(x, Add()([left(x), right(x)]))
    data = np.random.default_rng(0).standard_normal((5, 6)).astype(np.float32)
    np.testing.assert_allclose(model.predict(data), left(data).numpy() + right(data).numpy(), rtol=1e-6)


def test_several_inputs_and_outputs_by_list_and_by_name():
    a, b = Input((2,), name="a"), Input((3,), name="b")
    joined = Concatenate()([a, b])
    model = Model([a, b], [Dense(1, name="one")(joined), Dense(2, name="two")(joined)])
    x = [np.ones((4, 2), np.float32), np.ones((4, 3), np.float32)]
    one, two = model.predict(x)
    assert one.shape == (4, 1) and two.shape == (4, 2)
    np.testing.assert_array_equal(model.predict({"b": x[1], "a": x[0]})[1], two)
    np.testing.assert_array_equal(model({"b": x[1], "a": x[0]})[1].numpy(), two)
    assert model.input_names == ["a", "b"] and model.output_names == ["one", "two"]
    with pytest.raises(ValueError, match=r"the model has 2 inputs \(a, b\)"):
        model.predict(x[0])
    with pytest.raises(ValueError, match=r"x names \['a', 'c'\], but the inputs are \['a', 'b'\]"):
        model.predict({"a": x[0], "c": x[1]})


def test_shared_layer_has_its_weights_once_and_gradients_of_both_uses():
    a, b = Input((3,)), Input((3,))
    shared = Dense(1, use_bias=False)
    model = Model([a, b], Add()([shared(a), shared(b)]))
    assert model.count_params() == 3
    x = [np.full((1, 3), 2.0, np.float32), np.full((1, 3), 5.0, np.float32)]
    model(x).backward(np.ones((1, 1), np.float32))
    np.testing.assert_allclose(shared.kernel.grad.numpy(), np.full((3, 1), 7.0))


def test_models_nest():
    inner = Sequential([Dense(4, activation="relu", input_shape=(3,)), Dense(2)])
    x = Input((3,))
    outer = Model(x, Dense(1)(inner(x)))
    data = np.random.default_rng(0).standard_normal((2, 3)).astype(np.float32)
    np.testing.assert_array_equal(outer.predict(data), outer.layers[-1](inner(data)).numpy())
    assert outer.count_params() == inner.count_params() + 3
    assert [w.name for w in outer.weights][:2] == [w.name for w in inner.weights][:2]


def test_parts_of_a_model_share_its_weights():
    model = small_chain()
    every = Model(inputs=model.input, outputs=[layer.output for layer in model.layers])
    x = pictures()
    values = every.predict(x)
    assert [v.shape for v in values] == [(3, 6, 6, 2), (3, 3, 3, 2), (3, 18), (3, 3)]
    np.testing.assert_array_equal(values[-1], model.predict(x))
    tail = Model(model.layers[1].output, model.output)
    np.testing.assert_array_equal(tail.predict(values[1]), values[-1])
    assert every.weights == model.weights


def test_output_that_is_read_by_another_layer_is_kept():
    x = Input((3,))
    hidden = Dense(2)(x)
    model = Model(x, [hidden, Dense(1)(hidden), x])
    data = np.ones((2, 3), np.float32)
    first, _, same = model.predict(data)
    np.testing.assert_array_equal(first, model.layers[1](data).numpy())
    np.testing.assert_array_equal(same, data)


def test_missing_input_is_named():
    a, b = Input((2,), name="a"), Input((2,), name="b")
    with pytest.raises(
        ValueError, match=r"depend on the input 'b' of shape \(None, 2\).*among the model's inputs \('a'\)"
    ):
        Model(a, Add()([a, b]))


def test_what_is_not_symbolic_is_refused():
    with pytest.raises(TypeError, match=r"inputs must be symbolic tensors.*but ndarray came"):
        Model(np.zeros((2, 2)), Input((2,)))
    with pytest.raises(TypeError, match="inputs and outputs belong together"):
        Model(Input((2,)))


def test_two_layers_of_one_name_are_refused():
    x = Input((2,))
    with pytest.raises(ValueError, match="two layers are called 'a'"):
        Model(x, Dense(2, name="a")(Dense(2, name="a")(x)))


def test_get_layer():
    model = small_chain()
    assert model.get_layer("conv2d") is model.layers[0]
    assert model.get_layer(index=-1) is model.layers[-1]
    with pytest.raises(ValueError, match="unknown layer 'conv2'; did you mean 'conv2d'"):
        model.get_layer("conv2")
    with pytest.raises(ValueError, match="has 4 layers, there is none at 9"):
        model.get_layer(index=9)
    with pytest.raises(ValueError, match="either a name or an index"):
        model.get_layer()


class Residual(Model):
    def __init__(self):
        super().__init__()
        self.first = Dense(4, activation="relu")
        self.blocks = [Dense(4), Dense(4)]
        self.dropout = Dropout(0.5)
        self.seen = []

    def call(self, x, training=False):
        self.seen.append(training)
        x = self.first(x)
        for block in self.blocks:
            x = x + block(x)
        return self.dropout(x, training=training)


def test_subclass_trains_and_predicts():
    model = Residual()
    x = np.random.default_rng(0).standard_normal((8, 3)).astype(np.float32)
    model.compile("sgd", "mse")
    model.fit(x, np.zeros((8, 4)), epochs=1, verbose=0)
    assert model.seen[-1] is True
    model.predict(x)
    assert model.seen[-1] is False
    assert len(model.layers) == 4 and model.count_params() == 16 + 20 + 20


def test_subclass_builds_from_a_shape():
    model = Residual()
    model.build((None, 3))
    assert model.count_params() == 56
    assert model.output_shape == (None, 4)


def test_subclass_without_call_says_so():
    class Empty(Model):
        pass

    with pytest.raises(NotImplementedError, match="does not define call"):
        Empty()(np.zeros((1, 2)))


def test_subclass_of_a_drawn_model_may_change_call():
    class Doubled(Model):
        def call(self, x, training=False):
            return super().call(x, training=training) * 2.0

    x = Input((2,))
    y = Dense(2)(x)
    data = np.ones((1, 2), np.float32)
    np.testing.assert_allclose(Doubled(x, y).predict(data), 2 * Model(x, y).predict(data))


class Scaled(Layer):
    def build(self, input_shape):
        self.scale = self.add_weight((input_shape[-1],), "ones", name="scale")

    def call(self, x):
        return x * self.scale


def test_training_flag_reaches_every_layer():
    model = Sequential([BatchNormalization(input_shape=(2,)), Scaled(), Dropout(0.5)])
    x = np.random.default_rng(0).standard_normal((64, 2)).astype(np.float32) + 3
    quiet = model(x).numpy()
    np.testing.assert_array_equal(quiet, model.predict(x))
    noisy = model(x, training=True).numpy()
    assert (noisy == 0).any() and not (quiet == 0).any()
    assert abs(float(model.layers[0].moving_mean.numpy()[0])) > 0


def test_training_fixed_at_the_call_stays_fixed():
    x = Input((50,))
    model = Model(x, Dropout(0.5)(x, training=True))
    assert (model.predict(np.ones((2, 50))) == 0).any()


def test_gradient_of_the_input():
    model = small_chain()
    x = Tensor(pictures(), requires_grad=True)
    model(x).sum().backward()
    assert x.grad.shape == x.shape and np.abs(x.grad.numpy()).sum() > 0


def test_intermediate_values_are_dropped_when_their_last_reader_is_done():
    alive = []

    class Spy(Layer):
        def call(self, x):
            import weakref

            alive.append((weakref.ref(x.data), [ref() is not None for ref, _ in alive]))
            return x + 1.0

    x = Input((4,))
    y = x
    for _ in range(4):
        y = Spy()(y)
    alive.clear()
    Model(x, y).predict(np.zeros((2, 4)))
    # At the fourth layer the inputs of the first ones, its predecessor's excepted, are gone.
    assert alive[3][1][1] is False


def test_deep_chain_needs_no_recursion():
    x = Input((2,))
    y = x
    for _ in range(1500):
        y = Activation("relu")(y)
    model = Model(x, y)
    assert model.predict(np.ones((1, 2))).shape == (1, 2)
    again = pickle.loads(pickle.dumps(model))
    assert again.predict(np.ones((1, 2))).shape == (1, 2)


@pytest.mark.parametrize("copy_of", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
@pytest.mark.parametrize("kind", ["chain", "graph", "nested"])
def test_copies_stand_alone_and_train_alike(copy_of, kind):
    if kind == "chain":
        model = Sequential(
            [Conv2D(2, 3, input_shape=(8, 8, 1)), Flatten(), Dropout(0.5), Dense(3, activation="softmax")]
        )
    elif kind == "graph":
        inputs = Input((8, 8, 1))
        flat = Flatten()(Conv2D(2, 3)(inputs))
        model = Model(inputs, Dense(3, activation="softmax")(Concatenate()([flat, Dense(4)(flat)])))
    else:
        inner = Sequential([Conv2D(2, 3, input_shape=(8, 8, 1)), Flatten()])
        inputs = Input((8, 8, 1))
        model = Model(inputs, Dense(3, activation="softmax")(inner(inputs)))
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    x, y = pictures(20), np.arange(20) % 3
    model.fit(x, y, batch_size=6, verbose=0)
    twin = copy_of(model)
    assert twin.get_config() == model.get_config()
    np.testing.assert_array_equal(twin.predict(x), model.predict(x))
    first = model.fit(x, y, batch_size=6, verbose=0).history
    assert twin.fit(x, y, batch_size=6, verbose=0).history == first
    np.testing.assert_array_equal(twin.predict(x), model.predict(x))
    twin.set_weights([np.zeros_like(w) for w in twin.get_weights()])
    assert np.abs(model.get_weights()[0]).sum() > 0


def test_deep_copy_of_a_model_with_a_lambda_layer():
    model = Sequential([Lambda(lambda x: x * 2.0, input_shape=(2,)), Dense(1)])
    twin = copy.deepcopy(model)
    np.testing.assert_array_equal(twin.predict(np.ones((1, 2))), model.predict(np.ones((1, 2))))


def test_same_seed_same_weights_and_models_do_not_disturb_each_other():
    import minicnn

    minicnn.set_seed(7)
    first = small_chain()
    other = small_chain()
    minicnn.set_seed(7)
    again = small_chain()
    for a, b in zip(first.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first.get_weights()[0], other.get_weights()[0])


def test_frozen_model_has_no_trainable_weights():
    model = small_chain()
    model.trainable = False
    assert model.trainable_weights == [] and len(model.non_trainable_weights) == 4
    model.trainable = True
    assert len(model.trainable_weights) == 4


def test_float64_model():
    model = Sequential([Dense(2, dtype="float64", input_shape=(3,)), Dense(1, dtype="float64")])
    assert model.predict(np.ones((1, 3))).dtype == np.float64
    model.compile("sgd", "mse")
    model.fit(np.ones((4, 3)), np.ones((4, 1)), verbose=0)
    assert model.get_weights()[0].dtype == np.float64
