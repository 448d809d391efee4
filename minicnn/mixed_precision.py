"""Mixed precision: 16 bits for what goes between the layers of a network on a GPU, and float32 for its weights::

    minicnn.mixed_precision.set_dtype_policy("mixed_float16")

before a model is built, or ``dtype="mixed_float16"`` for single layers (Micikevicius et al. 2018). Half the memory
traffic, and products on the tensor cores; sums, weights, their gradients, the moments of a normalisation, softmax and
loss stay float32. float16 ends at 65504 and begins to lose bits below 6e-5: `optimizers.LossScaleOptimizer`, which
`compile` puts around the optimizer, keeps the gradients in between.

"mixed_bfloat16" needs no such care: bfloat16 is the upper half of a float32, with its range, and with 8 bits of
precision where float16 has 11 (Kalamkar et al. 2019). Its products need a GPU of compute capability 8.0, float16's one
of 7.5. Its arrays are CuPy's (14 or later) of the type `ml_dtypes.bfloat16`.

The kernels for a CPU compute in float32 only, and so do layers with this policy there: weights, files and results are
the same but for rounding, and nothing is gained.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.errors import unknown_name

__all__ = ["DTypePolicy", "dtype_policy", "global_policy", "set_dtype_policy", "set_global_policy"]

_COMPUTED_IN = {
    "float32": "float32", "float64": "float64", "mixed_float16": "float16", "mixed_bfloat16": "bfloat16",
}  # fmt: skip


class DTypePolicy:
    """What a layer computes in, and what its weights are.

    Args:
        name: "float32", "float64", "mixed_float16" or "mixed_bfloat16".

    Attributes:
        name: as given.
        compute_dtype: of what goes through the layer; "float16" and "bfloat16" apply where that lies on a GPU.
        variable_dtype: of the weights.

    Raises:
        ValueError: there is no such policy.

    >>> policy = DTypePolicy("mixed_float16")
    >>> policy.compute_dtype, policy.variable_dtype
    ('float16', 'float32')
    """

    def __init__(self, name: str) -> None:
        if name not in _COMPUTED_IN:
            raise ValueError(unknown_name("dtype policy", str(name), list(_COMPUTED_IN)))
        self.name = name
        self.compute_dtype = _COMPUTED_IN[name]
        self.variable_dtype = "float32" if name.startswith("mixed_") else name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DTypePolicy) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f'<DTypePolicy "{self.name}">'

    def get_config(self) -> dict[str, Any]:
        """Return the argument."""
        return {"name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> DTypePolicy:
        """Make the policy of a configuration."""
        return cls(**config)


_policy = DTypePolicy("float32")


def get_policy(value: Any, owner: str, argument: str = "dtype") -> DTypePolicy:
    """The policy that an argument means: a policy, its name, a floating type, or None for that of all layers.

    Raises:
        ValueError: it is none of these; the message begins with `owner`.
    """
    if value is None:
        return _policy
    if isinstance(value, DTypePolicy):
        return value
    name = value
    if name not in list(_COMPUTED_IN):
        try:
            name = np.dtype(value).name
        except TypeError:
            name = str(value)
    if name not in _COMPUTED_IN:
        *others, last = _COMPUTED_IN
        raise ValueError(f"{owner}: {argument} must be {', '.join(others)} or {last}, but {name} came")
    return DTypePolicy(name)


def set_dtype_policy(policy: str | DTypePolicy) -> None:
    """Choose the policy of all layers made from now on whose `dtype` says nothing else.

    Raises:
        ValueError: there is no such policy.

    >>> set_dtype_policy("mixed_float16")
    >>> dtype_policy()
    <DTypePolicy "mixed_float16">
    >>> set_dtype_policy("float32")
    """
    global _policy
    _policy = get_policy("None" if policy is None else policy, "set_dtype_policy", "policy")


def dtype_policy() -> DTypePolicy:
    """The policy of layers whose `dtype` says nothing else: float32, until `set_dtype_policy` says otherwise."""
    return _policy


set_global_policy, global_policy = set_dtype_policy, dtype_policy
