"""The notebooks' exercises, checked: a learner's answer is held against one that the notebook does not show.

    check("relu", my_relu)

says whether it is right, and if not, for which input it is not. Answers are functions, or plain values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import minicnn.functional as F
from minicnn.errors import unknown_name


@dataclass(frozen=True)
class Exercise:
    """A task and how an answer is tried.

    Attributes:
        solution: gives the right answer for each of `cases`; for a value, of the empty case `()`.
        cases: arguments to try the learner's function with.
        hint: said where the answer is wrong.
    """

    solution: Callable[..., Any]
    cases: Sequence[tuple[Any, ...]]
    hint: str


# What a function gives whose body is still to be written.
_NOTHING = "nothing"


def check(name: str, answer: Any) -> bool:
    """Say whether an answer is right, and return it.

    Args:
        name: of the exercise.
        answer: the learner's function, or value; None or an ellipsis where there is none yet.

    Raises:
        ValueError: there is no such exercise; the nearest names are suggested.
    """
    if name not in EXERCISES:
        raise ValueError(unknown_name("exercise", name, EXERCISES))
    exercise = EXERCISES[name]
    for case in exercise.cases:
        problem = _problem(exercise, answer, case)
        if problem == _NOTHING:
            print(f"{name}: no answer yet.")
            return False
        if problem:
            print(f"{name}: not yet. {problem} Hint: {exercise.hint}")
            return False
    print(f"{name}: right.")
    return True


def _problem(exercise: Exercise, answer: Any, case: tuple[Any, ...]) -> str:
    """What is wrong with the answer for this case, or ""."""
    given = ", ".join(_short(argument) for argument in case)
    if answer is None or answer is Ellipsis:
        return _NOTHING
    if case and not callable(answer):
        return f"A function was asked for, and {type(answer).__name__} came."
    try:
        found = answer(*case) if case else answer
    except Exception as error:
        return f"For ({given}) it fails: {type(error).__name__}: {error}."
    if found is None or found is Ellipsis:
        return _NOTHING
    expected = np.asarray(exercise.solution(*case))
    value = np.asarray(found)
    if value.dtype.kind not in "biuf":
        return f"A number or an array of numbers was asked for, and {type(found).__name__} came."
    if value.shape != expected.shape:
        return f"For ({given}) its shape is {value.shape}, not {expected.shape}."
    if not np.allclose(value, expected, rtol=1e-4, atol=1e-5):
        return f"For ({given}) it is {_short(found)}." if case else f"It is not {_short(found)}."
    return ""


def _short(value: Any) -> str:
    text = np.array2string(np.asarray(value), precision=3, threshold=12, separator=", ")
    return " ".join(text.split()) if len(text) < 120 else f"an array of shape {np.shape(value)}"


def _accuracy(labels: np.ndarray, probabilities: np.ndarray) -> float:
    return float(((probabilities > 0.5) == (labels == 1)).mean())


def _precision(labels: np.ndarray, probabilities: np.ndarray, threshold: float) -> float:
    return float(labels[probabilities > threshold].mean())


def _log_loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    return float(-np.log(np.where(labels == 1, probabilities, 1 - probabilities)).mean())


def _softmax(x: np.ndarray) -> np.ndarray:
    return np.asarray(F.softmax(x))


def _max_pool(picture: np.ndarray, size: int) -> np.ndarray:
    return np.asarray(F.max_pool2d(picture[None, :, :, None], size))[0, :, :, 0]


def _correlate(picture: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    return np.asarray(F.conv2d(picture[None, :, :, None], kernel[:, :, None, None]))[0, :, :, 0]


def _parameters(height: int, width: int, channels: int, filters: int) -> int:
    return (height * width * channels + 1) * filters


def _output_size(size: int, kernel: int, stride: int, padding: int) -> int:
    return (size + padding - kernel) // stride + 1


def _cases(seed: int, *shapes: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    generator = np.random.default_rng(seed)
    return tuple(np.round(generator.normal(size=shape), 1) for shape in shapes)


_LABELS = np.array([1, 0, 1, 1, 0])
_PROBABILITIES = np.array([0.9, 0.2, 0.4, 0.8, 0.7])
_SOBEL_X = np.array([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])

EXERCISES: dict[str, Exercise] = {
    "relu": Exercise(
        lambda x: np.maximum(x, 0),
        [(np.array([1.0, 2.0, 3.0, -4.0]),), _cases(0, (2, 3))],
        "what is negative becomes 0, all else stays.",
    ),
    "accuracy": Exercise(
        _accuracy,
        [(_LABELS, _PROBABILITIES), (1 - _LABELS, np.array([0.1, 0.9, 0.3, 0.2, 0.6]))],
        "right answers of both classes count: called positive and positive, called negative and negative.",
    ),
    "precision": Exercise(
        _precision,
        [(_LABELS, _PROBABILITIES, 0.5), (_LABELS, _PROBABILITIES, 0.75), (1 - _LABELS, _PROBABILITIES, 0.1)],
        "of the pictures whose probability is above the threshold, the share whose label is 1.",
    ),
    "softmax": Exercise(
        _softmax,
        [(np.array([1.0, 2.0, 3.0, -5.0]),), (np.array([1000.0, 1001.0]),)],
        "exp(x) over the sum of all exp(x); take the largest x from all of them first, so that no power overflows.",
    ),
    "convolution parameters": Exercise(
        _parameters,
        [(1, 3, 1, 5), (5, 5, 32, 64), (3, 3, 3, 32)],
        "every filter has a weight for each cell of its window in each channel, and one bias.",
    ),
    "one-hot": Exercise(
        lambda labels, classes: np.eye(classes)[labels],
        [(np.array([3]), 10), (np.array([0, 2, 1, 2]), 3)],
        "a row for each label: zeros, and a single 1 at the label's place.",
    ),
    "output size": Exercise(
        _output_size,
        [(28, 5, 1, 0), (28, 5, 1, 4), (7, 3, 2, 0), (6, 3, 3, 2)],
        "padding counts all rows that are added, above and below; the last window has to fit in whole.",
    ),
    "cross-correlation": Exercise(
        _correlate,
        [_cases(1, (4, 4), (3, 3)), _cases(2, (5, 6), (2, 3))],
        "each output is the sum of products of the kernel, as it is, with the window at that place.",
    ),
    "max pooling": Exercise(
        _max_pool,
        [(*_cases(4, (4, 4)), 2), (*_cases(5, (6, 9)), 3), (-np.ones((4, 4)), 2)],
        "windows lie side by side, size by size; of each only the largest value stays, also where all are negative.",
    ),
    "log loss": Exercise(
        _log_loss,
        [(_LABELS, _PROBABILITIES), (np.array([1, 1]), np.array([0.5, 0.01]))],
        "minus the logarithm of the probability that was given to the truth, 1 - p where it is 0; then the mean.",
    ),
    "upright edges": Exercise(
        lambda picture: np.abs(np.asarray(F.convolve2d(picture, _SOBEL_X, "valid"))),
        [_cases(3, (6, 6)), (np.outer(np.ones(5), [0.0, 0.0, 1.0, 1.0, 1.0]),)],
        "an upright edge is a change from left to right; Sobel's kernel for it weighs three rows as 1, 2, 1.",
    ),
}
