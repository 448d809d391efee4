"""The contract: every heavy operation of the engine, array in, array out.

Each function below is the meaning; `naive` (loops), `reference` (NumPy), `cpu` (Numba) and the GPU's kernels each
implement it under the same name and signature, and `dispatch` picks one of them for the arrays that come in. Nothing
here knows of tensors or gradients being taped. Arguments arrive checked and normalised (strides, dilation and window
sizes as pairs, padding as ((top, bottom), (left, right))): `minicnn.functional` does that. Input arrays may have any
strides; float32 gives float32 and float64 gives float64. The letters are listed in `geometry`.

On a GPU, activations (x, y, gy, gx) of convolutions, dense layers, poolings, normalisations and ReLUs, and dropout
masks, may be float16 or bfloat16, too. Only they are kept so: sums are float32, and so are weights (which convolutions
and products round for themselves), moments, and all gradients of weights.

A convolution is one trilinear form in x, w and gy, so its three passes are each other's gradients:

    sum over n,i,j,p,q,c,f of  gy[n,i,j,f] * w[p,q,c,f] * x[n, i*SH + p*DH - top, j*SW + q*DW - left, c]

Convolutions take an `algorithm`: "auto", "direct" or "winograd" (see `winograd`). It never changes what is computed,
only how, and with that the rounding. It is a hint: `naive` and `reference`, which have one way each, ignore it, and so
may a pass to which the algorithm brings nothing. Callers ask for "winograd" only where `winograd.obstacle` finds none.

Learning rates and the step of an optimizer may also be a `varying.Number` where work is recorded, and for arrays on a
GPU, whose kernels read it from the device, the step of a dropout mask, too.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from .dispatch import (
    FallbackWarning,
    KernelsUnavailable,
    array_module,
    choose,
    current_kernels,
    get_num_threads,
    room_for,
    set_num_threads,
    use_kernels,
)
from .geometry import Padding, Pair, output_sizes
from .tf32 import use_tf32

# NumPy's or CuPy's array: the kernels are written for both, and neither library has a common static type.
Array: TypeAlias = Any

__all__ = [
    "Array",
    "FallbackWarning",
    "KernelsUnavailable",
    "Padding",
    "Pair",
    "adagrad_step",
    "adam_step",
    "affine_warp",
    "array_module",
    "avg_pool2d",
    "avg_pool2d_gradient",
    "batch_moments",
    "batch_norm",
    "batch_norm_gradients",
    "conv2d",
    "conv2d_block",
    "conv2d_block_gradients",
    "conv2d_input_gradient",
    "conv2d_kernel_gradient",
    "current_kernels",
    "dense_block",
    "dense_block_gradients",
    "dropout_mask",
    "erf",
    "get_num_threads",
    "matmul",
    "max_pool2d",
    "max_pool2d_gather",
    "max_pool2d_gradient",
    "output_sizes",
    "relu",
    "relu_gradient",
    "rmsprop_step",
    "room_for",
    "set_num_threads",
    "sgd_step",
    "softmax",
    "softmax_cross_entropy",
    "softmax_cross_entropy_gradient",
    "sum_rows",
    "use_kernels",
    "use_tf32",
]


def conv2d(
    x: Array, w: Array, b: Array | None, *, strides: Pair, padding: Padding, dilation: Pair, groups: int,
    algorithm: str = "auto",
) -> Array:  # fmt: skip
    """Cross-correlate: y[n,i,j,f] = b[f] + sum over p,q,c of w[p,q,c,f] * x[n, i*SH+p*DH-top, j*SW+q*DW-left, c].

    With groups, filter f sees only the C/G channels of its group, f // (F/G). Outside the picture x is zero.

    Args:
        x: (N, H, W, C). w: (KH, KW, C/G, F). b: (F,) or None.

    Returns:
        (N, OH, OW, F).
    """
    return choose(x).conv2d(
        x, w, b, strides=strides, padding=padding, dilation=dilation, groups=groups, algorithm=algorithm
    )


def conv2d_input_gradient(
    gy: Array, w: Array, *, input_size: Pair, strides: Pair, padding: Padding, dilation: Pair, groups: int,
    algorithm: str = "auto",
) -> Array:  # fmt: skip
    """The trilinear form's derivative by x; also the transposed convolution.

    Args:
        gy: (N, OH, OW, F). w: (KH, KW, C/G, F). input_size: (H, W), which strides leave ambiguous.

    Returns:
        gx: (N, H, W, C).
    """
    return choose(gy).conv2d_input_gradient(
        gy, w, input_size=input_size, strides=strides, padding=padding, dilation=dilation, groups=groups,
        algorithm=algorithm,
    )  # fmt: skip


def conv2d_kernel_gradient(
    x: Array, gy: Array, *, kernel_size: Pair, strides: Pair, padding: Padding, dilation: Pair, groups: int,
    algorithm: str = "auto",
) -> Array:  # fmt: skip
    """The trilinear form's derivative by w.

    Args:
        x: (N, H, W, C). gy: (N, OH, OW, F). kernel_size: (KH, KW).

    Returns:
        gw: (KH, KW, C/G, F).
    """
    return choose(x).conv2d_kernel_gradient(
        x, gy, kernel_size=kernel_size, strides=strides, padding=padding, dilation=dilation, groups=groups,
        algorithm=algorithm,
    )  # fmt: skip


def conv2d_block(
    x: Array,
    w: Array,
    b: Array | None,
    *,
    strides: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
    algorithm: str = "auto",
    activation: str,
    alpha: float,
    pool_size: Pair | None,
    pool_strides: Pair | None,
    pool_padding: Padding | None,
    pooling: str = "max",
    keep: bool = True,
) -> tuple[Array, Array | None]:
    """A fused block: `max_pool2d(activation(conv2d(x, w, b)))`, without ever storing the picture before pooling.

    Or `avg_pool2d` of the same. With the largest of each window, an implementation may pool before it adds the bias and
    activates, since all of these rise with their argument. So where cells of a window are equal after activation only,
    another one may win than in the three separate steps: a dead window of a ReLU, or what rounding has made equal.

    Args:
        x, w, b and the geometry: as for `conv2d`.
        activation: "linear", "relu", "leaky_relu", "elu", "sigmoid" or "tanh".
        alpha: above 0; the slope of "leaky_relu" and the scale of "elu" below zero.
        pool_size: (PH, PW), or None for no pooling, and then neither strides nor padding of it.
        pooling: "max" or "avg".
        keep: whether the gradients will be asked for.

    Returns:
        y, and what the gradients need beside it: with "max" the winners as `max_pool2d` returns them, with "avg" the
        activation's output before pooling; None without pooling, or if not to be kept.
    """
    return choose(x).conv2d_block(
        x, w, b, strides=strides, padding=padding, dilation=dilation, groups=groups, algorithm=algorithm,
        activation=activation, alpha=alpha, pool_size=pool_size, pool_strides=pool_strides, pool_padding=pool_padding,
        pooling=pooling, keep=keep,
    )  # fmt: skip


def conv2d_block_gradients(
    gy: Array,
    y: Array,
    kept: Array | None,
    x: Array,
    w: Array,
    *,
    needs_x: bool,
    needs_w: bool,
    needs_b: bool,
    strides: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
    algorithm: str = "auto",
    activation: str,
    alpha: float,
    pool_size: Pair | None,
    pool_strides: Pair | None,
    pool_padding: Padding | None,
    pooling: str = "max",
) -> tuple[Array | None, Array | None, Array | None]:
    """The gradients of `conv2d_block` by x, w and b, from its output and what it kept.

    gy times the activation's derivative at y goes to the winners, and from there through the convolution. Cells that
    receive nothing contribute nothing: an implementation may leave them out. With averages, each cell receives its
    share of gy times the derivative at its own value.

    Args:
        gy, y: of the block's output shape. kept: as `conv2d_block` returned it. x, w: its inputs.
        needs_x, needs_w, needs_b: which gradients to compute.

    Returns:
        gx, gw and gb, each None unless needed.
    """
    return choose(gy).conv2d_block_gradients(
        gy, y, kept, x, w, needs_x=needs_x, needs_w=needs_w, needs_b=needs_b, strides=strides, padding=padding,
        dilation=dilation, groups=groups, algorithm=algorithm, activation=activation, alpha=alpha, pool_size=pool_size,
        pool_strides=pool_strides, pool_padding=pool_padding, pooling=pooling,
    )  # fmt: skip


def max_pool2d(x: Array, *, pool_size: Pair, strides: Pair, padding: Padding) -> tuple[Array, Array]:
    """The largest value of each window, and where it stood.

    The padding counts as minus infinity. Ties go to the first cell in reading order. A NaN wins (the first, if there
    are several), so NaN shows.

    Args:
        x: (N, H, W, C).

    Returns:
        y: (N, OH, OW, C), and winners of the same shape: ph*PW + pw, uint8 for windows of up to 256 cells, else int32.
    """
    return choose(x).max_pool2d(x, pool_size=pool_size, strides=strides, padding=padding)


def max_pool2d_gradient(
    gy: Array, winners: Array, *, input_size: Pair, pool_size: Pair, strides: Pair, padding: Padding
) -> Array:
    """Add each gy to the cell that won its window: (N, OH, OW, C) to (N, H, W, C)."""
    return choose(gy).max_pool2d_gradient(
        gy, winners, input_size=input_size, pool_size=pool_size, strides=strides, padding=padding
    )


def max_pool2d_gather(
    x: Array, winners: Array, *, pool_size: Pair, strides: Pair, padding: Padding
) -> Array:
    """Read x where the winners stand, (N, H, W, C) to (N, OH, OW, C); the adjoint of `max_pool2d_gradient`."""
    return choose(x).max_pool2d_gather(x, winners, pool_size=pool_size, strides=strides, padding=padding)


def avg_pool2d(x: Array, *, pool_size: Pair, strides: Pair, padding: Padding) -> Array:
    """The mean of each window over the cells inside the picture: (N, H, W, C) to (N, OH, OW, C)."""
    return choose(x).avg_pool2d(x, pool_size=pool_size, strides=strides, padding=padding)


def avg_pool2d_gradient(
    gy: Array, *, input_size: Pair, pool_size: Pair, strides: Pair, padding: Padding
) -> Array:
    """The adjoint of `avg_pool2d`: each cell of a window receives gy / cells; (N, OH, OW, C) to (N, H, W, C)."""
    return choose(gy).avg_pool2d_gradient(
        gy, input_size=input_size, pool_size=pool_size, strides=strides, padding=padding
    )


def matmul(a: Array, b: Array, bias: Array | None = None, out: Array | None = None) -> Array:
    """a @ b + bias for matrices: (M, K), (K, N) and (N,) to (M, N).

    With `out`, a contiguous (M, N) of the result's dtype, or of float32 where that has 16 bits, the result is written
    there: so the gradient of a large weight matrix need not be copied to where the optimiser wants it.
    """
    return choose(a).matmul(a, b, bias, out)


def dense_block(x: Array, w: Array, b: Array | None, *, activation: str, alpha: float) -> Array:
    """A fused dense layer: the activation of x @ w + b.

    Args:
        x: (M, K). w: (K, N). b: (N,) or None.
        activation, alpha: as for `conv2d_block`.

    Returns:
        (M, N).
    """
    return choose(x).dense_block(x, w, b, activation=activation, alpha=alpha)


def dense_block_gradients(
    gy: Array,
    y: Array,
    x: Array,
    w: Array,
    *,
    needs_x: bool,
    needs_w: bool,
    needs_b: bool,
    activation: str,
    alpha: float,
    out: Array | None = None,
) -> tuple[Array | None, Array | None, Array | None]:
    """The gradients of `dense_block` by x, w and b, from its output y: with g = gy times the activation's derivative
    at y, they are g @ w.T, x.T @ g (written to `out`, as by `matmul`) and the sum of g over its rows.

    Args:
        gy, y: (M, N). x, w: the block's inputs.
        needs_x, needs_w, needs_b: which gradients to compute.

    Returns:
        gx, gw and gb, each None unless needed.
    """
    return choose(gy).dense_block_gradients(
        gy, y, x, w, needs_x=needs_x, needs_w=needs_w, needs_b=needs_b, activation=activation, alpha=alpha, out=out
    )


def sum_rows(x: Array) -> Array:
    """The sum of a matrix over its rows, (M, N) to (N,), in parts so that float32 rounding does not add up with M."""
    return choose(x).sum_rows(x)


def batch_moments(x: Array) -> tuple[Array, Array]:
    """Mean and biased variance of each column, (M, C) with M > 0 to twice (C,).

    The variance is that of x - mean, never mean(x*x) - mean*mean, which cancels where the mean is large.
    """
    return choose(x).batch_moments(x)


def batch_norm(
    x: Array, gamma: Array, beta: Array, mean: Array, variance: Array, *, epsilon: float
) -> Array:
    """gamma * (x - mean) / sqrt(variance + epsilon) + beta, column by column: x (M, C), all others (C,), to (M, C)."""
    return choose(x).batch_norm(x, gamma, beta, mean, variance, epsilon=epsilon)


def batch_norm_gradients(
    gy: Array, x: Array, gamma: Array, mean: Array, variance: Array, *, epsilon: float
) -> tuple[Array, Array, Array]:
    """The gradients of `batch_norm` by x, gamma and beta, where mean and variance are the moments of x itself.

    With z = (x - mean) / r and r = sqrt(variance + epsilon): gbeta = sum of gy, ggamma = sum of gy * z, both over the
    rows, and gx = gamma / r * (gy - gbeta / M - z * ggamma / M). (Ioffe and Szegedy 2015, section 3.)

    Args:
        gy, x: (M, C). gamma, mean, variance: (C,).
    """
    return choose(gy).batch_norm_gradients(gy, x, gamma, mean, variance, epsilon=epsilon)


def erf(x: Array) -> Array:
    """2/sqrt(pi) times the integral of exp(-t*t) from 0 to x; any shape."""
    return choose(x).erf(x)


def relu(x: Array) -> Array:
    """max(x, 0), with NaN kept; any shape."""
    return choose(x).relu(x)


def relu_gradient(gy: Array, y: Array) -> Array:
    """gy where y > 0, else 0; any shape."""
    return choose(gy).relu_gradient(gy, y)


def softmax(x: Array) -> Array:
    """exp(x - max) / sum of the same, along the rows of a matrix (N, K)."""
    return choose(x).softmax(x)


def softmax_cross_entropy(logits: Array, targets: Array) -> tuple[Array, Array]:
    """-sum over k of targets[n,k] * log softmax(logits)[n,k], stably, for matrices (N, K).

    Where a target is 0 nothing is added, also if the logit is -infinity, as that of a class that is ruled out.

    Returns:
        The losses (N,) and the probabilities softmax(logits) (N, K).
    """
    return choose(logits).softmax_cross_entropy(logits, targets)


def softmax_cross_entropy_gradient(gy: Array, probabilities: Array, targets: Array) -> Array:
    """The derivative by the logits: gy[n] * (p[n,k] * sum of targets[n] - targets[n,k]); (N,) and twice (N, K)."""
    return choose(probabilities).softmax_cross_entropy_gradient(gy, probabilities, targets)


def dropout_mask(like: Array, rate: float, *, key: int, step: int) -> Array:
    """A mask of the shape and dtype of `like`: 0 with probability `rate`, else 1 / (1 - rate).

    1 - rate is rounded to that dtype, and divided by in it; both in float32 where it has 16 bits.

    Counter-based, so that every implementation draws the same bits whatever its threads: element i (in C order) is
    dropped when word i % 4 of Philox 4x32-10 is below round(rate * 2**32). The key words are the low and the high
    half of `key`, the counter words the low and high half of i // 4 and of `step`.
    (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", 2011.)
    """
    return choose(like).dropout_mask(like, rate, key=key, step=step)


def affine_warp(
    pictures: Array, matrices: Array, offsets: Array, *, order: int, fill_mode: str, cval: float
) -> Array:
    """Turn, shift, shear and stretch pictures: y[n,i,j,c] is pictures[n,:,:,c] read at (r, s), where

        r = (offsets[n,0] + matrices[n,0,0] * i) + matrices[n,0,1] * j
        s = (offsets[n,1] + matrices[n,1,0] * i) + matrices[n,1,1] * j

    in float64, each product and sum rounded on its own, so that all implementations read the same cells. The centre of
    cell (i, j) lies at (i, j). What lies outside 0 <= r <= H-1 (and likewise s) is first brought in, as `fill_mode`
    says, which is what scipy.ndimage does under the same names:

    - "constant": y is `cval`, also where only one of r and s is outside.
    - "nearest": r becomes the nearer of 0 and H-1.
    - "reflect" (d c b a | a b c d | d c b a): r < 0 becomes -1-r; then r modulo 2H; then r >= H becomes 2H-1-r; then
      the nearer of 0 and H-1 where it is still outside.
    - "wrap": r moves by whole periods of H-1 (not H: the first and the last cell count as one), from below 0 into
      (0, H-1] and from above H-1 into [0, H-1). In a picture of one row, r becomes 0.

    Args:
        pictures: (N, H, W, C). matrices: (N, 2, 2), offsets: (N, 2), both float64 and finite.
        order: 0 reads the cell (floor(r + 1/2), floor(s + 1/2)), at most (H-1, W-1); 1 interpolates linearly along
            both axes between the four cells around (r, s), weighted in float64.
        fill_mode: "constant", "nearest", "reflect" or "wrap".
        cval: the value of "constant".

    Returns:
        (N, H, W, C).
    """
    return choose(pictures).affine_warp(
        pictures, matrices, offsets, order=order, fill_mode=fill_mode, cval=cval
    )


def sgd_step(
    p: Array, g: Array, velocity: Array | None, *, learning_rate: float, momentum: float, nesterov: bool
) -> None:
    """In place: v = momentum*v - lr*g; p += v, or with Nesterov p += momentum*v - lr*g; without v: p -= lr*g."""
    choose(p).sgd_step(p, g, velocity, learning_rate=learning_rate, momentum=momentum, nesterov=nesterov)


def adam_step(
    p: Array,
    g: Array,
    m: Array,
    v: Array,
    *,
    learning_rate: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    weight_decay: float,
    step: int,
) -> None:
    """One step of Adam in place on flat buffers; `step` counts from 1.

    p -= lr*weight_decay*p; m += (1-b1)*(g-m); v += (1-b2)*(g*g-v); p -= lr*sqrt(1-b2^t)/(1-b1^t) * m/(sqrt(v)+eps).
    (Kingma and Ba 2014, the efficient form at the end of section 2; the decay: Loshchilov and Hutter 2017.)
    """
    choose(p).adam_step(
        p, g, m, v, learning_rate=learning_rate, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon,
        weight_decay=weight_decay, step=step,
    )  # fmt: skip


def rmsprop_step(
    p: Array,
    g: Array,
    v: Array,
    velocity: Array | None,
    mean_gradient: Array | None,
    *,
    learning_rate: float,
    rho: float,
    momentum: float,
    epsilon: float,
) -> None:
    """One step of RMSprop in place on flat buffers.

    v = rho*v + (1-rho)*g*g; d = v + eps, less the square of the running mean gradient where that is given (centred);
    u = lr*g/sqrt(d); with a velocity: velocity = momentum*velocity + u and u = velocity; p -= u.
    (Tieleman and Hinton, Coursera lecture 6.5, 2012.)
    """
    choose(p).rmsprop_step(
        p, g, v, velocity, mean_gradient, learning_rate=learning_rate, rho=rho, momentum=momentum, epsilon=epsilon
    )  # fmt: skip


def adagrad_step(p: Array, g: Array, accumulator: Array, *, learning_rate: float, epsilon: float) -> None:
    """In place: accumulator += g*g; p -= lr * g / sqrt(accumulator + epsilon). (Duchi, Hazan and Singer 2011.)"""
    choose(p).adagrad_step(p, g, accumulator, learning_rate=learning_rate, epsilon=epsilon)
