"""What a network's outputs say of a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from minicnn.models import Model


def as_probabilities(outputs: np.ndarray) -> np.ndarray:
    """One picture's outputs, (classes,) or (1,), as probabilities; a network without a softmax gives logits."""
    import minicnn.functional as F

    if outputs.size == 1:
        return outputs if 0 <= outputs.item() <= 1 else F.sigmoid(outputs)
    add_up = outputs.min() >= 0 and abs(float(outputs.sum()) - 1) < 1e-3
    return outputs if add_up else F.softmax(outputs)


def best_classes(model: Model, probabilities: np.ndarray, top: int) -> str:
    """ "seven (98.1 %), one (1.2 %)": the most probable classes."""
    names = model.class_names or []
    if probabilities.size == 1:
        # One output is the probability of the positive class, which the file names last.
        name = names[-1] if names else "positive"
        return f"{name} ({100 * float(probabilities.reshape(-1)[0]):.1f} %)"
    order = np.argsort(-probabilities, kind="stable")[:top]
    called = {index: names[index] if index < len(names) else index for index in order}
    return ", ".join(f"{name} ({100 * float(probabilities[index]):.1f} %)" for index, name in called.items())
