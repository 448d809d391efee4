"""Parameters: made when first looked at, once, and never moved under a view."""

from __future__ import annotations

import copy
import pickle
import threading

import numpy as np
import pytest

import minicnn.functional as F
from minicnn import initializers
from minicnn.arena import Arena
from minicnn.autograd import Tensor
from minicnn.parameter import Parameter
from tests.oracles import keras


def make(shape=(3, 2), seed=0, **options):
    options = {"initializer": initializers.GlorotUniform(), "name": "kernel", **options}
    return Parameter(shape, seed_sequence=np.random.SeedSequence(seed), **options)


def test_shape_and_count_of_what_no_memory_could_hold():
    parameter = make((2**20, 2**20, 4))
    assert (parameter.shape, parameter.ndim, parameter.dtype) == ((2**20, 2**20, 4), 3, np.float32)
    assert parameter.size == 2**42
    assert not parameter.materialised
    assert repr(parameter) == "Parameter('kernel', shape=(1048576, 1048576, 4), dtype=float32)"


def test_values_do_not_depend_on_the_order_of_access():
    first, second = make(seed=1), make(seed=2)
    values = first.data.copy(), second.data.copy()
    first, second = make(seed=1), make(seed=2)
    assert np.array_equal(second.data, values[1])
    assert np.array_equal(first.data, values[0])


def test_threads_initialise_once():
    calls = []
    started = threading.Barrier(8)

    def slow(shape, dtype, generator):
        calls.append(1)
        return generator.standard_normal(shape, dtype=dtype.type)

    parameter = make(initializer=slow)
    seen = []

    def look():
        started.wait()
        seen.append(parameter.data)

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    assert all(array is seen[0] for array in seen)


@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, lambda item: pickle.loads(pickle.dumps(item))])
@pytest.mark.parametrize("materialised", [False, True])
def test_copies(clone, materialised):
    parameter = make(trainable=False)
    if materialised:
        parameter.data = np.arange(6.0).reshape(3, 2)
    copied = clone(parameter)
    assert copied.materialised is materialised
    assert (copied.name, copied.trainable, copied.dtype) == ("kernel", False, np.float32)
    np.testing.assert_array_equal(copied.data, parameter.data)
    copied.data[:] = 7
    assert not (parameter.data == 7).any()


def test_a_copy_leaves_gradients_and_arena_behind():
    parameter = make()
    F.sum(parameter).backward()
    arena = Arena([6], "float32")
    parameter.move_into(arena, 0)
    copied = copy.deepcopy(parameter)
    assert copied.grad is copied.gradient_buffer is copied.arena is None
    assert not np.shares_memory(copied.data, arena.data)
    F.sum(copied).backward()
    np.testing.assert_array_equal(arena.gradient[:6], 1)


def test_assigning_copies_in_place_and_casts():
    parameter = make()
    view, given = parameter.data, np.ones((3, 2))
    parameter.data = given
    assert parameter.data is view
    assert view.dtype == np.float32
    given[:] = 2
    assert (view == 1).all()
    parameter.data = Tensor(given)
    assert (view == 2).all()


def test_assigning_before_the_first_look_skips_the_initialiser():
    parameter = make(initializer=lambda *_: pytest.fail("not needed"))
    parameter.data = np.ones((3, 2))
    assert parameter.data.dtype == np.float32


def test_assigning_is_noticed_by_backward():
    parameter = make()
    loss = F.sum(F.square(parameter))
    parameter.data = np.zeros((3, 2))
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()


def test_assigning_another_shape():
    with pytest.raises(ValueError, match=r"parameter 'kernel': expected an array of shape \(3, 2\), got \(2, 3\)"):
        make().data = np.zeros((2, 3))


def test_trainable_is_requires_grad():
    parameter = make(trainable=False)
    assert not parameter.requires_grad
    parameter.trainable = True
    F.sum(parameter).backward()
    np.testing.assert_array_equal(parameter.grad.data, np.ones((3, 2)))


def test_an_initialiser_that_gives_something_else():
    with pytest.raises(
        ValueError, match=r"initializer of parameter 'kernel': .* \(3, 2\) and dtype float32, got \(2,\)"
    ):
        _ = make(initializer=lambda *_: np.zeros(2, np.float32)).data
    with pytest.raises(ValueError, match=r"and dtype float32, got .* and float64"):
        _ = make(initializer=lambda shape, *_: np.zeros(shape)).data
    with pytest.raises(ValueError, match=r"parameter 'kernel': shape must not be negative, got \(3, -1\)"):
        make((3, -1))


@pytest.mark.parametrize(
    "initializer",
    [
        lambda shape, dtype, generator: np.full(shape, 0.5, dtype),
        lambda shape, dtype: np.full(shape, 0.5, dtype),
        lambda shape, dtype=None: np.full(shape, 0.5, dtype),
        lambda shape, dtype=None, gain=0.5: np.full(shape, gain, dtype),
        lambda shape, dtype=None, **_: np.full(shape, 0.5, dtype),
        lambda shape, *, dtype=None: np.full(shape, 0.5, dtype),
        lambda shape, kind: np.full(shape, 0.5, kind),
        lambda shape, dtype=None, generator=None: np.full(shape, 0.5 if generator else 0.0, dtype),
        lambda shape, dtype=None: keras().initializers.Constant(0.5)(shape, dtype=dtype),
    ],
)
def test_initializers_may_have_keras_form(initializer):
    parameter = make(initializer=initializer)
    np.testing.assert_array_equal(copy.deepcopy(parameter).numpy(), np.full((3, 2), 0.5, np.float32))
    np.testing.assert_array_equal(parameter.numpy(), np.full((3, 2), 0.5, np.float32))


@pytest.mark.parametrize("initializer", [lambda: None, lambda shape: np.ones(shape), lambda a, b, c, d: None])
def test_initializers_of_another_form_are_refused_at_once(initializer):
    with pytest.raises(TypeError, match=r"of parameter 'kernel': expected a callable of \(shape, dtype\) or"):
        make(initializer=initializer)
