"""Models that are trained in turn, as generators and discriminators are: frozen, and with one optimizer."""

from __future__ import annotations

import numpy as np
import pytest

import minicnn
from minicnn.layers import BatchNormalization, Dense, Dropout, Input
from minicnn.models import Model, Sequential
from minicnn.optimizers import Adam

X = np.random.default_rng(0).standard_normal((16, 4)).astype(np.float32)
Y = (X[:, :1] > 0).astype(np.float32)


def network(optimizer, *more):
    model = Sequential([Dense(8, activation="relu", input_shape=(4,)), *more, Dense(1, activation="sigmoid")])
    model.compile(optimizer, "binary_crossentropy")
    return model


def in_turn(first, second, rounds=5):
    first.set_weights([np.full_like(weight, 0.1 * (i + 1)) for i, weight in enumerate(first.get_weights())])
    second.set_weights(first.get_weights())
    for _ in range(rounds):
        first.train_on_batch(X, Y)
        second.train_on_batch(X, 1 - Y)


def moments(model):
    state = model.trainer.optimizer_state()
    return [state[key] for key in sorted(state) if "/" in key]


def test_one_optimizer_keeps_the_moments_of_each_model(tmp_path):
    # Without the correction of the first steps, the number of steps, which is shared, makes no difference.
    shared, alone = Adam(1e-12), (Adam(1e-12), Adam(1e-12))
    ours, theirs = (network(shared), network(shared)), (network(alone[0]), network(alone[1]))
    in_turn(*ours)
    in_turn(*theirs)
    assert shared.iterations == 10 and alone[0].iterations == 5
    for mine, other in zip(ours, theirs, strict=True):
        assert len(moments(mine)) == 8
        for a, b in zip(moments(mine), moments(other), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-9)
    moments(ours[0])
    assert [id(parameter) for parameter in shared.parameters] == [id(weight) for weight in ours[1].weights]
    # A file holds what belongs to its model, whichever was trained last.
    assert ours[0].optimizer is ours[1].optimizer
    for number, model in enumerate(ours):
        for ending in ("minicnn", "keras"):
            model.save(tmp_path / f"{number}.{ending}")
            for a, b in zip(moments(minicnn.load_model(tmp_path / f"{number}.{ending}")), moments(model), strict=True):
                np.testing.assert_array_equal(a, b)


def test_a_frozen_model_gives_its_loss_and_learns_nothing():
    model = network("adam", BatchNormalization(), Dropout(0.5))
    model.trainable = False
    before = model.get_weights()
    loss = model.evaluate(X, Y, verbose=0)
    assert loss > 0
    plain = network("adam")
    plain.trainable = False
    with pytest.warns(UserWarning, match="Sequential 'sequential.*' has no trainable weights") as caught:
        assert plain.train_on_batch(X, Y) == pytest.approx(plain.test_on_batch(X, Y))
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="has no trainable weights"):
        history = model.fit(X, Y, batch_size=4, epochs=3, verbose=0).history
    assert len(history["loss"]) == 3 and np.isfinite(history["loss"]).all()
    for weight, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)
    assert model.optimizer.iterations == 0
    model.trainable = True
    model.fit(X, Y, batch_size=4, verbose=0)
    assert model.optimizer.iterations == 4
    assert not np.array_equal(model.get_weights()[0], before[0])


def test_a_generator_is_trained_through_a_discriminator():
    optimizer = Adam(0.01)
    discriminator = network(optimizer)
    generator = Sequential([Dense(4, input_shape=(2,))])
    noise = Input((2,))
    combined = Model(noise, discriminator(generator(noise)))
    combined.compile(optimizer, "binary_crossentropy")
    z = np.random.default_rng(1).standard_normal((16, 2)).astype(np.float32)
    for _ in range(3):
        discriminator.trainable = True
        before = discriminator.get_weights()[0]
        discriminator.train_on_batch(X, np.ones((16, 1)))
        discriminator.train_on_batch(generator.predict(z), np.zeros((16, 1)))
        frozen, moving = discriminator.get_weights()[0], generator.get_weights()[0]
        assert not np.array_equal(frozen, before)
        discriminator.trainable = False
        combined.train_on_batch(z, np.ones((16, 1)))
        np.testing.assert_array_equal(discriminator.get_weights()[0], frozen)
        assert not np.array_equal(generator.get_weights()[0], moving)
    assert optimizer.iterations == 9
