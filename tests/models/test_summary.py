"""What `summary` prints."""

from __future__ import annotations

import numpy as np

from minicnn.layers import Conv2D, Dense, Flatten, Input, MaxPooling2D
from minicnn.models import Model, Sequential


def lines_of(model, **options):
    lines = []
    model.summary(print_fn=lines.append, **options)
    return lines


def test_columns_and_totals():
    model = Sequential([Conv2D(6, 5, input_shape=(28, 28, 1)), MaxPooling2D(), Flatten(), Dense(10)])
    text = "\n".join(lines_of(model))
    convolution = next(line for line in lines_of(model) if line.startswith("conv2d "))
    # 5*5*1*6 + 6 parameters; 24*24*6 floats; 24*24 positions of 5*5*1*6 products.
    assert convolution.split()[-3:] == ["156", "13,824", "86,400"]
    assert "(None, 24, 24, 6)" in convolution
    assert "Total parameters: 8,806 (34.40 KB)" in text
    assert "Trainable parameters: 8,806" in text
    assert "Non-trainable parameters: 0" in text
    assert "Multiply-adds per sample: 95,040" in text


def test_frozen_layers_are_counted_apart():
    model = Sequential([Dense(3, input_shape=(2,)), Dense(1)])
    model.layers[0].trainable = False
    text = "\n".join(lines_of(model))
    assert "Trainable parameters: 4 " in text and "Non-trainable parameters: 9 " in text


class Own(Model):
    def __init__(self):
        super().__init__()
        self.convolution, self.flatten, self.dense = Conv2D(2, 3, name="convolution"), Flatten(), Dense(4, name="dense")

    def call(self, x, training=False):
        return self.dense(self.flatten(self.convolution(x)))


def test_the_layers_of_a_subclass_tell_their_shapes_once_they_are_built():
    model = Own()
    assert next(line for line in lines_of(model) if line.startswith("dense ")).split()[2:] == ["?"] * 4
    model(np.zeros((5, 6, 6, 1), np.float32))
    rows = {line.split()[0]: line.split()[2:] for line in lines_of(model) if "(" in line}
    # 4*4*2 floats out of 4*4 positions of 3*3*1*2 products; then 32 inputs for each of 4 outputs.
    assert rows["convolution"] == ["(None,", "4,", "4,", "2)", "20", "128", "288"]
    assert rows["dense"] == ["(None,", "4)", "132", "16", "128"]
    assert "Total parameters: 152 (608 B)" in lines_of(model)


def test_shared_layer_is_counted_once():
    a, b = Input((3,)), Input((3,))
    layer = Dense(2)
    model = Model([a, b], [layer(a), layer(b)])
    assert "Total parameters: 8 " in "\n".join(lines_of(model))


def test_huge_network_allocates_nothing():
    model = Sequential([Dense(100_000, input_shape=(100_000,)), Dense(100_000)])
    assert "20,000,200,000" in "\n".join(lines_of(model))
    assert model.count_params() == 20_000_200_000
    assert not any(weight.materialised for weight in model.weights)


def test_open_sizes_and_unbuilt_models_show_question_marks():
    text = "\n".join(lines_of(Sequential([Conv2D(2, 3, input_shape=(None, None, 1))])))
    assert "(None, None, None, 2)" in text and "?" in text
    text = "\n".join(lines_of(Sequential([Dense(2)])))
    assert "?" in text and "come with the first data" in text


def test_width_is_kept():
    model = Sequential([Dense(2, name="a_layer_with_a_rather_long_name_indeed", input_shape=(3,))])
    assert max(len(line) for line in lines_of(model, line_length=80)) <= 80
    assert max(len(line) for line in lines_of(model)) > 80


def test_nested_models_are_shown_when_asked():
    inner = Sequential([Dense(2, name="hidden", input_shape=(3,))], name="inner")
    x = Input((3,))
    model = Model(x, Dense(1)(inner(x)))
    assert "hidden" not in "\n".join(lines_of(model))
    expanded = "\n".join(lines_of(model, expand_nested=True))
    assert "hidden" in expanded and "Total parameters: 11 " in expanded


def test_prints_by_default(capsys):
    Sequential([Dense(2, input_shape=(3,))]).summary()
    assert "Total parameters: 8" in capsys.readouterr().out


def test_bytes_follow_the_dtype():
    model = Sequential([Dense(2, input_shape=(3,), dtype="float64")])
    row = next(line for line in lines_of(model) if line.startswith("dense"))
    assert row.split()[-2] == "16"
    assert np.dtype("float64").itemsize == 8
