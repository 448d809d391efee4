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
    if answer is None or answer is Ellipsis:
        print(f"{name}: no answer yet.")
        return False
    for case in exercise.cases:
        problem = _problem(exercise, answer, case)
        if problem:
            print(f"{name}: not yet. {problem} Hint: {exercise.hint}")
            return False
    print(f"{name}: right.")
    return True


def _problem(exercise: Exercise, answer: Any, case: tuple[Any, ...]) -> str:
    """What is wrong with the answer for this case, or ""."""
    given = ", ".join(_short(argument) for argument in case)
    if case and not callable(answer):
        return f"A function was asked for, and {type(answer).__name__} came."
    try:
        found = answer(*case) if case else answer
    except Exception as error:
        return f"For ({given}) it fails: {type(error).__name__}: {error}."
    if found is None or found is Ellipsis:
        return f"For ({given}) it gives nothing." if case else "It is nothing."
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
_SOBEL_X = np.array([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])

EXERCISES: dict[str, Exercise] = {
    "relu": Exercise(
        lambda x: np.maximum(x, 0),
        [(np.array([1.0, 2.0, 3.0, -4.0]),), _cases(0, (2, 3))],
        "what is negative becomes 0, all else stays.",
    ),
    "accuracy": Exercise(
        _accuracy,
        [(_LABELS, np.array([0.9, 0.2, 0.4, 0.8, 0.7])), (1 - _LABELS, np.array([0.1, 0.9, 0.3, 0.2, 0.6]))],
        "right answers of both classes count: called positive and positive, called negative and negative.",
    ),
    "convolution parameters": Exercise(
        _parameters,
        [(1, 3, 1, 5), (5, 5, 32, 64), (3, 3, 3, 32)],
        "every filter has a weight for each cell of its window in each channel, and one bias.",
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
    "upright edges": Exercise(
        lambda picture: np.abs(np.asarray(F.convolve2d(picture, _SOBEL_X, "valid"))),
        [_cases(3, (6, 6)), (np.outer(np.ones(5), [0.0, 0.0, 1.0, 1.0, 1.0]),)],
        "an upright edge is a change from left to right; Sobel's kernel for it weighs three rows as 1, 2, 1.",
    ),
}
