"""Right answers pass, wrong ones are told why, and no answer is no crash."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn.articles.exercises import EXERCISES, check


def correlate(picture, kernel):
    KH, KW = kernel.shape
    rows, columns = picture.shape[0] - KH + 1, picture.shape[1] - KW + 1
    return [[(picture[i : i + KH, j : j + KW] * kernel).sum() for j in range(columns)] for i in range(rows)]


def upright(picture):
    return np.abs(correlate(picture, np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]])))


def blocks(picture, size):
    H, W = picture.shape
    return [[picture[i : i + size, j : j + size].max() for j in range(0, W, size)] for i in range(0, H, size)]


def softmax(x):
    powers = np.exp(x - x.max())
    return powers / powers.sum()


RIGHT = {
    "relu": lambda x: [value if value > 0 else 0 for value in x] if x.ndim == 1 else np.where(x > 0, x, 0),
    "accuracy": lambda labels, p: np.mean([(q > 0.5) == bool(y) for y, q in zip(labels, p, strict=True)]),
    "precision": lambda labels, p, t: sum(y for y, q in zip(labels, p, strict=True) if q > t) / (p > t).sum(),
    "softmax": softmax,
    "convolution parameters": lambda kh, kw, c, f: kh * kw * c * f + f,
    "one-hot": lambda labels, classes: [[int(label == k) for k in range(classes)] for label in labels],
    "output size": lambda n, k, s, p: len(range(0, n + p - k + 1, s)),
    "cross-correlation": correlate,
    "max pooling": blocks,
    "log loss": lambda labels, p: -np.mean([np.log(q if y else 1 - q) for y, q in zip(labels, p, strict=True)]),
    "upright edges": upright,
}
WRONG = {
    "relu": abs,
    # The article's precision: of the pictures called positive, the share that is.
    "accuracy": lambda labels, p: labels[p > 0.5].mean(),
    "precision": lambda labels, p, t: ((p > t) == (labels == 1)).mean(),
    "softmax": lambda x: x / x.sum(),
    "convolution parameters": lambda kh, kw, c, f: kh * kw * c * f,
    # Classes counted from 1.
    "one-hot": lambda labels, classes: np.eye(classes)[labels - 1],
    "output size": lambda n, k, s, p: -(-(n + p - k) // s) + 1,
    "cross-correlation": lambda picture, kernel: correlate(picture, kernel[::-1, ::-1]),
    "max pooling": lambda picture, size: -np.array(blocks(-picture, size)),
    # Forgets the pictures whose label is 0.
    "log loss": lambda labels, p: -np.log(p[labels == 1]).mean(),
    "upright edges": lambda picture: upright(picture.T).T,
}


def test_every_exercise_is_tried_here():
    assert set(RIGHT) == set(WRONG) == set(EXERCISES)


@pytest.mark.parametrize("name", EXERCISES)
def test_right_answers(name, capsys):
    assert check(name, RIGHT[name])
    assert capsys.readouterr().out == f"{name}: right.\n"


@pytest.mark.parametrize("name", EXERCISES)
def test_wrong_answers(name, capsys):
    assert not check(name, WRONG[name])
    said = capsys.readouterr().out
    assert said.startswith(f"{name}: not yet. For (")
    assert said.endswith(f"Hint: {EXERCISES[name].hint}\n")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, "relu: no answer yet."),
        (..., "relu: no answer yet."),
        (3, "A function was asked for, and int came."),
        (lambda x: None, "relu: no answer yet."),
        (lambda x: x[0], "its shape is (), not (4,)."),
        (lambda x: "text", "A number or an array of numbers was asked for, and str came."),
        (lambda x: x / [], "it fails: ValueError"),
    ],
)
def test_answers_of_another_kind(answer, said, capsys):
    assert not check("relu", answer)
    assert said in capsys.readouterr().out


def test_unknown_exercises_suggest_the_nearest():
    with pytest.raises(ValueError, match=r"unknown exercise 'rely'; did you mean 'relu'"):
        check("rely", 1)
