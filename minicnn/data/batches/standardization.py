"""Centring, scaling and whitening pictures by their own or by a data set's statistics."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn.data.batches.transforms import floating

# As Keras has it, so that flat pictures are not divided by zero.
_TINY = 1e-6


class Standardization:
    """What is done to a picture's values last: the part of `ImageDataGenerator` that draws nothing.

    In this order: `preprocessing_function`; x · rescale; then

    - samplewise: x - mean(x), x / (std(x) + 1e-6), over the whole picture;
    - featurewise: x - mean, x / (std + 1e-6), by each channel's statistics over a data set;
    - whitening: W x, with W = U diag(√n / (s + ε)) Uᵀ of the singular value decomposition U diag(s) Vᵀ of a data set's
      n flattened pictures, one a column (ZCA: Bell and Sejnowski, "The 'independent components' of natural scenes are
      edge filters", 1997).

    Scaling needs centring, and whitening needs featurewise centring and takes the place of featurewise scaling; what is
    switched for that is warned of.

    Attributes:
        mean, std: (1, 1, C), or (C, 1, 1) for channels first; from a data set, or assigned.
        zca_whitening_matrix: W, (HWC, HWC).
    """

    def __init__(
        self,
        *,
        featurewise_center: bool,
        featurewise_std_normalization: bool,
        samplewise_center: bool,
        samplewise_std_normalization: bool,
        zca_whitening: bool,
        zca_epsilon: float,
        rescale: float | None,
        preprocessing_function: Callable[[NDArray[Any]], NDArray[Any]] | None,
    ) -> None:
        if zca_whitening and featurewise_std_normalization:
            featurewise_std_normalization = False
            _warn("zca_whitening switches featurewise_std_normalization off")
        if (zca_whitening or featurewise_std_normalization) and not featurewise_center:
            featurewise_center = True
            cause = "zca_whitening" if zca_whitening else "featurewise_std_normalization"
            _warn(f"{cause} switches featurewise_center on")
        if samplewise_std_normalization and not samplewise_center:
            samplewise_center = True
            _warn("samplewise_std_normalization switches samplewise_center on")
        self.featurewise_center = featurewise_center
        self.featurewise_std_normalization = featurewise_std_normalization
        self.samplewise_center = samplewise_center
        self.samplewise_std_normalization = samplewise_std_normalization
        self.zca_whitening = zca_whitening
        self.zca_epsilon = zca_epsilon
        self.rescale = rescale
        self.preprocessing_function = preprocessing_function
        self.mean: NDArray[Any] | None = None
        self.std: NDArray[Any] | None = None
        self.zca_whitening_matrix: NDArray[Any] | None = None

    def standardize(self, x: NDArray[Any]) -> NDArray[Any]:
        """Standardise a picture, or a batch of them: in place where `x` holds floats, but for whitening."""
        if self.preprocessing_function is not None:
            x = self.preprocessing_function(x)
        x = floating(x)
        if self.rescale:
            x *= self.rescale
        if self.samplewise_center:
            x -= np.mean(x, keepdims=True)
        if self.samplewise_std_normalization:
            x /= np.std(x, keepdims=True) + _TINY
        if self._has(self.featurewise_center, self.mean, "featurewise_center"):
            x -= self.mean
        if self._has(self.featurewise_std_normalization, self.std, "featurewise_std_normalization"):
            x /= np.asarray(self.std) + _TINY
        if self._has(self.zca_whitening, self.zca_whitening_matrix, "zca_whitening"):
            flat = x.reshape(-1, math.prod(x.shape[-3:]))
            # Not with @: BLAS may sum in another order where it has more threads.
            x = np.einsum("ni,ji->nj", flat, np.asarray(self.zca_whitening_matrix, x.dtype)).reshape(x.shape)
        return x

    def _has(self, wanted: bool, statistics: NDArray[Any] | None, what: str) -> bool:
        if wanted and statistics is None:
            _warn(f"{what} needs a data set's statistics: call fit(pictures) first. The values are left as they are")
        return wanted and statistics is not None

    def _take_statistics(self, x: NDArray[Any], channel_axis: int) -> None:
        """Of pictures of four axes, floats, which are changed."""
        axes = tuple(axis for axis in range(4) if axis != channel_axis)
        if self.featurewise_center:
            self.mean = x.mean(axis=axes, keepdims=True)[0]
            x -= self.mean
        if self.featurewise_std_normalization:
            self.std = x.std(axis=axes, keepdims=True)[0]
            x /= self.std + _TINY
        if self.zca_whitening:
            u, s, _ = np.linalg.svd(x.reshape(len(x), -1).T, full_matrices=False)
            self.zca_whitening_matrix = (u * (math.sqrt(len(x)) / (s + self.zca_epsilon))) @ u.T


def _warn(what: str) -> None:
    warnings.warn(f"ImageDataGenerator: {what}", stacklevel=4)
