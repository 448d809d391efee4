"""Every mistake gets its name: the operation, the argument, what was expected and what came."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minicnn.functional as F
from minicnn.functional.fused import conv2d_block


def z(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


X, W = z(1, 5, 5, 3), z(3, 3, 3, 4)

MISTAKES: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    # convolution
    "rank of x": (lambda: F.conv2d(z(5, 5, 3), W), ValueError,
                  "conv2d: x must have 4 axes (N, H, W, C), got shape (5, 5, 3)"),
    "rank of w": (lambda: F.conv2d(X, z(3, 3)), ValueError,
                  "conv2d: w must have 4 axes (KH, KW, C/groups, F), got shape (3, 3)"),
    "channels": (lambda: F.conv2d(X, z(3, 3, 1, 4)), ValueError,
                 "conv2d: x has 3 channels and w has shape (3, 3, 1, 4), which with groups=1 expects 1 channels"),
    "groups of filters": (lambda: F.conv2d(z(1, 5, 5, 4), z(3, 3, 2, 3), groups=2), ValueError,
                          "expects 4 channels and a multiple of 2 filters"),
    "groups": (lambda: F.conv2d(X, W, groups=0), ValueError, "conv2d: groups must be at least 1, got 0"),
    "bias": (lambda: F.conv2d(X, W, z(3)), ValueError, "conv2d: b must have shape (4,), one for each filter, got (3,)"),
    "strides of 0": (lambda: F.conv2d(X, W, strides=0), ValueError, "conv2d: strides must be at least 1, got 0"),
    "three strides": (lambda: F.conv2d(X, W, strides=(1, 1, 1)), ValueError,
                      "conv2d: strides must be a whole number or a pair of them, got (1, 1, 1)"),
    "half a stride": (lambda: F.conv2d(X, W, strides=1.5), TypeError,
                      "conv2d: strides must be a whole number, got 1.5"),
    "a stride that is True": (lambda: F.conv2d(X, W, strides=True), TypeError, "got True"),
    "dilation": (lambda: F.conv2d(X, W, dilation_rate=(1, 0)), ValueError,
                 "conv2d: dilation_rate must be at least 1, got 0"),
    "padding by name": (lambda: F.conv2d(X, W, padding="smae"), ValueError,
                        'conv2d: padding must be "valid", "same", a whole number, a pair (height, width) or '
                        "((top, bottom), (left, right)), got 'smae'"),
    "negative padding": (lambda: F.conv2d(X, W, padding=-1), ValueError, "conv2d: padding must be at least 0, got -1"),
    "three paddings": (lambda: F.conv2d(X, W, padding=(1, 2, 3)), ValueError, "conv2d: padding must be"),
    "padding of halves": (lambda: F.conv2d(X, W, padding=(0.5, 1)), TypeError,
                          "conv2d: padding must be a whole number, got 0.5"),
    "kernel larger than the picture": (lambda: F.conv2d(z(1, 2, 9, 3), W), ValueError,
                                       "conv2d: a window of 3x3 does not fit into a picture of 2x9 pixels, padding "
                                       "included; use a smaller window, more padding"),
    "dilated kernel": (lambda: F.conv2d(X, W, dilation_rate=3), ValueError,
                       "a window of 7x7 (dilated 3x3) does not fit into a picture of 5x5 pixels"),
    "kernel larger than the padded picture": (lambda: F.conv2d(z(1, 2, 2, 3), z(6, 6, 3, 1), padding=1), ValueError,
                                              "window of 6x6 does not fit into a picture of 4x4"),
    "kernel of no taps": (lambda: F.conv2d(X, z(0, 3, 3, 4)), ValueError,
                          "conv2d: w must have no axis of size 0, got shape (0, 3, 3, 4)"),
    "no channels": (lambda: F.conv2d(z(1, 5, 5, 0), z(3, 3, 0, 4)), ValueError,
                    "conv2d: w must have no axis of size 0, got shape (3, 3, 0, 4)"),
    "no filters": (lambda: F.conv2d(X, z(3, 3, 3, 0)), ValueError,
                   "conv2d: w must have no axis of size 0, got shape (3, 3, 3, 0)"),
    "no filters in a block": (lambda: conv2d_block(X, z(3, 3, 3, 0)), ValueError,
                              "conv2d_block: w must have no axis of size 0, got shape (3, 3, 3, 0)"),
    "algorithm": (lambda: F.conv2d(X, W, algorithm="fft"), ValueError,
                  'conv2d: algorithm must be one of "auto", "direct", "winograd", got \'fft\''),
    "winograd with strides": (lambda: F.conv2d(X, W, strides=2, algorithm="winograd"), ValueError,
                              'conv2d: algorithm="winograd" cannot do this convolution, which has strides of (2, 2) '
                              'instead of 1; use "auto" or "direct"'),
    "winograd with a dilation": (lambda: F.conv2d(X, W, dilation_rate=2, algorithm="winograd"), ValueError,
                                 "which has a dilation of (2, 2) instead of 1"),
    "winograd with groups": (lambda: F.conv2d(X, z(3, 3, 1, 3), groups=3, algorithm="winograd"), ValueError,
                             "which has 3 groups instead of 1"),
    "winograd of another kernel": (lambda: F.conv2d(X, z(1, 3, 3, 4), algorithm="winograd"), ValueError,
                                   "which has a kernel of 1x3 instead of 3x3 or 5x5"),
    "transposed: channels": (lambda: F.conv2d_transpose(X, z(3, 3, 2, 4)), ValueError,
                             "conv2d_transpose: x has 3 channels but w of shape (3, 3, 2, 4) expects 4"),
    "transposed: rank": (lambda: F.conv2d_transpose(z(5, 5), z(3, 3, 2, 3)), ValueError,
                         "conv2d_transpose: x must have 4 axes (N, H, W, C), got shape (5, 5)"),
    "transposed: no filters": (lambda: F.conv2d_transpose(X, z(3, 3, 0, 3)), ValueError,
                               "conv2d_transpose: w must have no axis of size 0, got shape (3, 3, 0, 3)"),
    "transposed: no taps": (lambda: F.conv2d_transpose(X, z(0, 3, 2, 3)), ValueError,
                            "conv2d_transpose: w must have no axis of size 0, got shape (0, 3, 2, 3)"),
    "transposed: bias": (lambda: F.conv2d_transpose(X, z(3, 3, 2, 3), z(3)), ValueError,
                         "conv2d_transpose: b must have shape (2,), one for each filter, got (3,)"),
    "transposed: output padding": (lambda: F.conv2d_transpose(X, z(3, 3, 2, 3), strides=2, output_padding=2),
                                   ValueError, "output_padding must be less than the strides, got 2 with stride 2"),
    "transposed: nothing left": (lambda: F.conv2d_transpose(z(1, 1, 1, 3), z(3, 3, 2, 3), padding=3), ValueError,
                                 "padding 3 leaves nothing of an output of 3 pixels"),
    "transposed: padding by name": (lambda: F.conv2d_transpose(X, z(3, 3, 2, 3), padding="full"), ValueError,
                                    "conv2d_transpose: padding must be"),
    "im2col: rank": (lambda: F.im2col(z(4, 4), 2), ValueError, "im2col: x must have 4 axes"),
    "im2col: kernel": (lambda: F.im2col(X, 0), ValueError, "im2col: kernel_size must be at least 1, got 0"),
    "col2im: shape": (lambda: F.col2im(z(4, 9), (1, 4, 4, 2), 3), ValueError,
                      "col2im: columns must have shape (4, 18) for pictures of shape (1, 4, 4, 2), got (4, 9)"),
    "convolve2d: mode": (lambda: F.convolve2d(z(4, 4), z(2, 2), "half"), ValueError,
                         'convolve2d: mode must be "full", "same" or "valid", got \'half\''),
    "convolve2d: picture": (lambda: F.convolve2d(z(4), z(2, 2)), ValueError,
                            "convolve2d: picture must have axes (H, W) or (H, W, C), got shape (4,)"),
    "convolve2d: kernel": (lambda: F.convolve2d(z(4, 4), z(2)), ValueError, "convolve2d: kernel must have 2 axes"),
    # pooling
    "pool: rank": (lambda: F.max_pool2d(z(4, 4)), ValueError, "max_pool2d: x must have 4 axes (N, H, W, C)"),
    "pool: window": (lambda: F.avg_pool2d(X, 6), ValueError,
                     "avg_pool2d: a window of 6x6 does not fit into a picture of 5x5 pixels"),
    "pool: size": (lambda: F.max_pool2d(X, (2, 0)), ValueError, "max_pool2d: pool_size must be at least 1, got 0"),
    "pool: padding": (lambda: F.max_pool2d(X, 2, padding=2), ValueError,
                      "max_pool2d: padding must be smaller than the window, or a window could hold nothing but"),
    "global pool: rank": (lambda: F.global_avg_pool2d(z(4, 4)), ValueError, "global_avg_pool2d: x must have 4 axes"),
    "global max pool: rank": (lambda: F.global_max_pool2d(z(4)), ValueError, "global_max_pool2d: x must have 4 axes"),
    # matrices
    "dense: sizes": (lambda: F.dense(z(2, 3), z(4, 5)), ValueError,
                     "dense: x must end with as many values as w of shape (K, units) has rows, got (2, 3) and (4, 5)"),
    "dense: bias": (lambda: F.dense(z(2, 3), z(3, 5), z(3)), ValueError,
                    "dense: b must have shape (5,), one for each unit, got (3,)"),
    # activations
    "softmax: axis": (lambda: F.softmax(z(2, 3), axis=2), ValueError,
                      "softmax: axis 2 does not exist in shape (2, 3)"),
    "log_softmax: axis": (lambda: F.log_softmax(z(2, 3), axis=-3), ValueError, "log_softmax: axis -3 does not exist"),
    "logsumexp: axis": (lambda: F.logsumexp(z(2, 3), axis=5), ValueError,
                        "logsumexp: axis 5 does not exist in shape (2, 3)"),
    "softmax of a number": (lambda: F.softmax(1.0), ValueError, "softmax: axis -1 does not exist in shape ()"),
    "cross-entropy: shapes": (lambda: F.softmax_cross_entropy(z(2, 3), z(2)), ValueError,
                              "logits and targets must have one shape (..., K), got (2, 3) and (2,)"),
    # arithmetic
    "shapes that do not broadcast": (lambda: F.add(z(2), z(3)), ValueError,
                                     "add: shapes (2,) and (3,) do not broadcast against each other"),
    "where: shapes": (lambda: F.where(z(2) > 0, z(3), 0.0), ValueError,
                      "where: shapes (2,), (3,) and () do not broadcast against each other"),
    "clip: limits": (lambda: F.clip(z(2), 1, 0), ValueError, "clip: low must not be above high, got 1 and 0"),
    # shaping
    "reshape": (lambda: F.reshape(z(2, 3), 4, 2), ValueError,
                "reshape: 6 elements of shape (2, 3) do not fill shape (4, 2)"),
    "reshape: two unknown": (lambda: F.reshape(z(2, 3), -1, -1), ValueError, "do not fill shape (-1, -1)"),
    "reshape: remainder": (lambda: F.reshape(z(2, 3), 4, -1), ValueError, "do not fill shape (4, -1)"),
    "flatten": (lambda: F.flatten(np.float32(1)), ValueError, "flatten: x must have at least one axis"),
    "transpose": (lambda: F.transpose(z(2, 3), (0, 2)), ValueError,
                  "transpose: axes (0, 2) are no order of the 2 axes of shape (2, 3)"),
    "concatenate: none": (lambda: F.concatenate([]), ValueError, "concatenate: expected at least one tensor, got none"),
    "concatenate: axis": (lambda: F.concatenate([z(2)], axis=1), ValueError,
                          "concatenate: axis 1 does not exist in shape (2,)"),
    "concatenate: shapes": (lambda: F.concatenate([z(2, 3), z(3, 3)]), ValueError,
                            "concatenate: shapes may differ only along axis -1, got [(2, 3), (3, 3)]"),
    "stack": (lambda: F.stack([z(2), z(3)]), ValueError, "stack: expected arrays of one shape, got [(2,), (3,)]"),
    "stack: axis": (lambda: F.stack([z(2), z(2)], axis=3), ValueError, "stack: axis 3 does not exist"),
    "pad: pairs": (lambda: F.pad(z(2, 3), [(1, 1)]), ValueError,
                   "pad: expected 2 pairs (before, after) of numbers of at least 0, got [(1, 1)]"),
    "pad: negative": (lambda: F.pad(z(2), [(-1, 0)]), ValueError, "numbers of at least 0, got [(-1, 0)]"),
    "broadcast_to": (lambda: F.broadcast_to(z(2), (3,)), ValueError,
                     "broadcast_to: shape (2,) does not broadcast to (3,)"),
    "sum_to": (lambda: F.sum_to(z(2), (3,)), ValueError, "sum_to: shape (3,) does not broadcast to (2,)"),
    "batch_norm": (lambda: F.batch_norm(z(2, 3), None, None, z(2), z(3)), ValueError,
                   "batch_norm: mean must have shape (3,), got (2,)"),
    "batch_norm: no channels": (lambda: F.batch_norm(z(2, 0), None, None, z(0), z(0)), ValueError,
                                "batch_norm: x must have channels along axis -1, got shape (2, 0)"),
    "batch_norm_training: no channels": (lambda: F.batch_norm_training(z(2, 0, 3), None, None, axis=1), ValueError,
                                         "batch_norm_training: x must have channels along axis 1, got shape (2, 0, 3)"),
    "local response": (lambda: F.local_response_normalization(z(1, 3), -1), ValueError,
                       "local_response_normalization: depth_radius must be at least 0, got -1"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_named(name: str) -> None:
    call, kind, text = MISTAKES[name]
    with pytest.raises(kind, match=re.escape(text)) as caught:
        call()
    # One text, not a tuple of parts that reads like one.
    assert len(caught.value.args) == 1
    assert isinstance(caught.value.args[0], str)


@pytest.mark.parametrize("call", [F.relu, F.softmax, F.erf, lambda x: F.dense(x, np.ones((2, 2)))])
@pytest.mark.parametrize("dtype", [complex, object])
def test_only_real_numbers_are_computed_with(call, dtype) -> None:
    with pytest.raises(TypeError, match=r"expected arrays of real numbers, got dtype (complex128|object)"):
        call(np.ones((2, 2), dtype))
