"""Pictures, drawn with Matplotlib, which is imported when the first one is asked for.

Every function returns a figure, which a notebook shows, and writes it where `path` says. Figures are made without
pyplot: no window, no global state, usable from any thread.
"""

from __future__ import annotations

from .architecture import plot_model
from .evaluation import confusion_matrix, scatter
from .explanation import explanation
from .features import activation_maps, activations, dead_maps, exciting_patches, filters
from .gradient_explanation import gradient_explanation
from .gradients import gradient_norm_by_layer, gradient_norms
from .history import history, loss_curves
from .picture_filters import filtered
from .receptive_field import ReceptiveField, receptive_field
from .samples import misclassified, samples

__all__ = [
    "ReceptiveField",
    "activation_maps",
    "activations",
    "confusion_matrix",
    "dead_maps",
    "exciting_patches",
    "explanation",
    "filtered",
    "filters",
    "gradient_explanation",
    "gradient_norm_by_layer",
    "gradient_norms",
    "history",
    "loss_curves",
    "misclassified",
    "plot_model",
    "receptive_field",
    "samples",
    "scatter",
]
