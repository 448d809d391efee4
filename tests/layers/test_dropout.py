from __future__ import annotations

import numpy as np
import pytest

import minicnn
from minicnn import Tensor
from minicnn.layers import Dropout


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape, "float32")


def test_nothing_happens_outside_training() -> None:
    x = ones(4, 5)
    np.testing.assert_array_equal(Dropout(0.5)(x).numpy(), x)
    np.testing.assert_array_equal(Dropout(0.5)(x, training=False).numpy(), x)


def test_training_drops_the_given_share_and_keeps_the_mean() -> None:
    y = Dropout(0.25, seed=1)(ones(200, 500), training=True).numpy()
    assert set(np.unique(y)) == {np.float32(0), np.float32(1) / np.float32(0.75)}
    assert abs((y == 0).mean() - 0.25) < 0.01
    assert y.dtype == np.float32


def test_every_call_draws_another_mask_and_the_state_brings_it_back() -> None:
    layer = Dropout(0.5, seed=3)
    first = layer(ones(10, 10), training=True).numpy()
    state = layer.get_state()
    second = layer(ones(10, 10), training=True).numpy()
    assert (first != second).any()
    resumed = Dropout(0.5)
    resumed.set_state(state)
    np.testing.assert_array_equal(resumed(ones(10, 10), training=True).numpy(), second)


def test_the_seed_sequence_is_the_key() -> None:
    def drawn(entropy: int) -> np.ndarray:
        layer = Dropout(0.5)
        layer.seed_sequence = np.random.SeedSequence(entropy)
        return layer(ones(10, 10), training=True).numpy()

    np.testing.assert_array_equal(drawn(1), drawn(1))
    assert (drawn(1) != drawn(2)).any()


def test_the_global_seed_reaches_a_layer_without_a_model() -> None:
    def drawn() -> np.ndarray:
        minicnn.set_seed(5)
        return Dropout(0.5)(ones(10, 10), training=True).numpy()

    np.testing.assert_array_equal(drawn(), drawn())


def test_a_noise_shape_drops_whole_maps() -> None:
    y = Dropout(0.5, noise_shape=(None, 1, 1, None), seed=0)(ones(8, 4, 4, 16), training=True).numpy()
    np.testing.assert_array_equal(y, np.broadcast_to(y[:, :1, :1], y.shape))
    assert (y == 0).any()
    assert (y != 0).any()


def test_the_gradient_passes_where_the_value_did() -> None:
    x = Tensor(ones(6, 6), requires_grad=True)
    y = Dropout(0.5, seed=0)(x, training=True)
    y.sum().backward()
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), y.numpy())


def test_a_rate_of_one_drops_everything() -> None:
    np.testing.assert_array_equal(Dropout(1.0)(ones(2, 3), training=True).numpy(), np.zeros((2, 3)))


@pytest.mark.parametrize("rate", [-0.1, 1.5, float("nan")])
def test_a_rate_out_of_range_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match=r"Dropout 'dropout': rate must be a number from 0 to 1, but"):
        Dropout(rate)


def test_a_noise_shape_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"noise_shape \(2, 2\) must hold, for each axis of x, its size, 1 or None"):
        Dropout(0.5, noise_shape=(2, 2))(ones(2, 3), training=True)
