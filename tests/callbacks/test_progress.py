"""What is printed while a model trains."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest

from minicnn import progress
from minicnn.autograd import Tensor
from minicnn.layers import Dense
from minicnn.metrics import ConfusionMatrix, Mean, Recall
from minicnn.models import Sequential


class Terminal(io.StringIO):
    def isatty(self):
        return True


def train(verbose, epochs=2, **options):
    model = Sequential([Dense(1, input_shape=(3,))])
    model.compile("sgd", "mse", ["mae"])
    x = np.ones((64, 3), np.float32)
    model.fit(x, np.ones((64, 1)), batch_size=4, epochs=epochs, verbose=verbose, **options)
    return model


def test_silent(capsys):
    train(0)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("verbose", [1, 2, "auto", True])
def test_one_line_an_epoch_where_lines_cannot_be_rewritten(capsys, verbose):
    train(verbose, validation_split=0.25)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("Epoch 1/2: 12/12 [====================]")
    assert all(name in lines[1] for name in ("loss: ", "mae: ", "val_loss: ", "val_mae: "))
    assert "\r" not in "".join(lines)


def test_live_line_is_rewritten_in_a_terminal(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(progress, "REFRESH_SECONDS", 0.0)
    train(1, epochs=1)
    text = screen.getvalue()
    assert text.count("\r") > 10 and text.count("\n") == 1 and text.endswith("\n")
    # No line is wider than the terminal, or it could not be rewritten.
    assert max(len(part) for part in text.split("\r")) <= 120


def test_verbose_2_is_not_live_in_a_terminal(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    train(2)
    assert "\r" not in screen.getvalue() and screen.getvalue().count("\n") == 2


def test_interrupted_line_is_ended(monkeypatch):
    from minicnn.callbacks import LambdaCallback

    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(progress, "REFRESH_SECONDS", 0.0)

    def interrupt(batch, logs):
        if batch == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(1, callbacks=[LambdaCallback(on_train_batch_end=interrupt)])
    assert screen.getvalue().endswith("\n")


def test_evaluate_and_predict_show_progress(capsys):
    model = train(0)
    model.evaluate(np.ones((8, 3)), np.ones((8, 1)), verbose=1)
    assert "1/1 [" in capsys.readouterr().out
    model.predict(np.ones((8, 3)), verbose=1)
    assert "1/1 [" in capsys.readouterr().out


def test_unknown_number_of_steps(capsys):
    model = Sequential([Dense(1, input_shape=(3,))])
    model.compile("sgd", "mse")
    model.fit(((np.ones((2, 3)), np.ones((2, 1))) for _ in range(3)), verbose=1)
    assert "3 steps" in capsys.readouterr().out


def test_unknown_verbosity():
    with pytest.raises(ValueError, match="verbose must be 0, 1, 2"):
        train(3)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0123, "12ms"), (3.44, "3.4s"), (42, "42s"), (125, "2:05"), (3723, "1:02:03")]
)
def test_durations(seconds, text):
    assert progress.format_duration(seconds) == text


def test_loss_comes_first():
    text = progress.format_logs({"accuracy": 0.5, "val_accuracy": 0.25, "val_loss": 2.0, "loss": 1e-5})
    assert text == "loss: 1.0000e-05 - accuracy: 0.5000 - val_loss: 2.0000 - val_accuracy: 0.2500"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.float32(0.25), "0.2500"),
        (np.array(3), "3.0000"),
        (Tensor(np.array(0.5)), "0.5000"),
        (np.array([0.75, 1e-5]), "[0.7500 1.0000e-05]"),
        (Tensor(np.ones(2)), "[1.0000 1.0000]"),
        (np.ones(9), "9 array"),
        (np.ones((2, 3)), "2x3 array"),
    ],
)
def test_values_that_are_no_plain_numbers(value, text):
    assert progress.format_value(value) == text


class MeanTensor(Mean):
    def result(self):
        return Tensor(np.array(super().result()))


@pytest.mark.parametrize("verbose", [1, 2])
def test_metrics_may_give_arrays_and_tensors(capsys, monkeypatch, verbose):
    monkeypatch.setattr(progress, "REFRESH_SECONDS", 0.0)
    model = Sequential([Dense(2, "softmax", input_shape=(3,))])
    metrics = [ConfusionMatrix(2), Recall(thresholds=[0.3, 0.7]), MeanTensor(name="mean")]
    model.compile("sgd", "categorical_crossentropy", metrics)
    x, y = np.ones((8, 3), np.float32), np.eye(2)[[0, 1] * 4]
    history = model.fit(x, y, epochs=2, validation_data=(x, y), verbose=verbose)
    model.evaluate(x, y, verbose=verbose)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all("confusion_matrix: 2x2 array" in line and "recall: [" in line and "mean: 0." in line for line in lines)
    assert history.history["val_confusion_matrix"][1].sum() == 8


def test_no_output_stream(monkeypatch):
    # Programs without a console, on Windows, have none.
    monkeypatch.setattr(sys, "stdout", None)
    train(1)
