from __future__ import annotations

import copy
import pickle
import re
from typing import Any

import numpy as np
import pytest

from minicnn import layers
from minicnn.layers import Add, Conv2D, Dense, Flatten, Input, InputLayer, Node, SymbolicTensor


def test_calling_layers_draws_a_graph() -> None:
    x = Input((28, 28, 1), name="pictures")
    convolution, flatten, dense = Conv2D(4, 3), Flatten(), Dense(10)
    y = dense(flatten(convolution(x)))
    assert isinstance(y, SymbolicTensor)
    assert y.shape == (None, 10)
    assert y.ndim == 2
    assert y.dtype == "float32"
    path = []
    tensor = y
    while tensor.node.inputs:
        path.append(tensor.node.layer)
        (tensor,) = tensor.node.inputs
    assert path == [dense, flatten, convolution]
    assert isinstance(tensor.node.layer, InputLayer)
    assert tensor is x
    assert x.name == "pictures"


def test_drawing_computes_and_allocates_nothing() -> None:
    dense = Dense(10_000)
    dense(Flatten()(Input((1000, 1000, 3))))
    assert dense.count_params() == 3_000_000 * 10_000 + 10_000
    assert not dense.kernel.materialised


def test_input_and_output_of_one_node() -> None:
    x = Input((5,))
    dense = Dense(3)
    y = dense(x)
    assert dense.input is x
    assert dense.output is y
    assert dense.input_shape == (None, 5)
    assert dense.output_shape == (None, 3)
    merge = Add()
    merge([y, y])
    assert merge.input == [y, y]


def test_a_shared_layer_has_several_nodes() -> None:
    dense = Dense(3)
    a, b = dense(Input((5,))), dense(Input((5,)))
    assert [node.output for node in dense.inbound_nodes] == [a, b]
    assert a.node.number < b.node.number
    with pytest.raises(AttributeError, match=r"Dense 'dense' has no single output, because it is used 2 times"):
        _ = dense.output
    with pytest.raises(AttributeError, match=r"Dense 'dense_1' has no single input, because it is in no model"):
        _ = Dense(3).input
    with pytest.raises(AttributeError, match="has no input shape yet"):
        _ = Dense(3).input_shape


def test_a_node_keeps_the_training_it_was_called_with() -> None:
    x = Input((5,))
    layer = layers.Dropout(0.5)
    assert layer(x).node.training is None
    assert layer(x, training=True).node.training is True


def test_values_and_symbolic_tensors_do_not_mix() -> None:
    x = Input((5,))
    with pytest.raises(TypeError, match="Add 'add': symbolic tensors and values cannot be mixed, but ndarray came"):
        Add()([x, np.zeros((2, 5))])
    for misuse in (lambda: x + 1, lambda: 1.0 - x, lambda: np.ones(5) * x, lambda: np.asarray(x), lambda: np.sin(x)):
        with pytest.raises(TypeError, match=r"stands for values that do not exist yet|ufunc"):
            misuse()


def test_a_batch_size_can_be_fixed() -> None:
    assert Dense(2)(Input((3,), batch_size=4)).shape == (4, 2)
    assert Input((3,), dtype="float64").dtype == "float64"


def test_sizes_may_be_numpys_whole_numbers() -> None:
    assert Input(np.int64(3)).shape == (None, 3)
    shape = Input(np.array([4, 5]), batch_size=np.int32(2)).shape
    assert shape == (2, 4, 5)
    assert {type(size) for size in shape} == {int}


@pytest.mark.parametrize("shape", [("a",), (True, 3), (2.0,), (-1,), 2.5, None, "ab"])
def test_an_impossible_input_shape_is_refused(shape: Any) -> None:
    message = f"InputLayer 'input_layer': shape must hold the sizes of one sample, None where open, but {shape!r} came"
    with pytest.raises(ValueError, match=re.escape(message)):
        Input(shape)
    if shape is not None:
        with pytest.raises(ValueError, match=r"Dense 'dense': input_shape must hold the sizes of one sample"):
            Dense(2, input_shape=shape)


@pytest.mark.parametrize("batch_size", [0, -1, 2.0, True])
def test_an_impossible_batch_size_is_refused(batch_size: Any) -> None:
    message = f"InputLayer 'input_layer': batch_size must be a whole number above 0, but {batch_size!r} came"
    with pytest.raises(ValueError, match=re.escape(message)):
        Input((3,), batch_size=batch_size)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda y: pickle.loads(pickle.dumps(y))])
def test_a_graph_copies_with_its_layers(copied) -> None:
    dense = Dense(3)
    y = dense(Dense(4)(Input((5,))))
    twin = copied(y)
    node: Node = twin.node
    assert node.layer is not dense
    assert node.layer.output is twin
    assert node.layer.input.node.layer.output is node.layer.input
    numbers = [node.inputs[0].node.inputs[0].node.number, node.inputs[0].node.number, node.number]
    assert numbers == sorted(numbers)
    x = np.ones((1, 4), "float32")
    np.testing.assert_array_equal(node.layer(x).numpy(), dense(x).numpy())
