"""Small calls that together launch every kernel and take every branch on the way to a launch."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple

import ml_dtypes  # noqa: F401 - makes "bfloat16" a name of a type
import numpy as np

from minicnn.kernels import reference
from minicnn.kernels.capture import Graph
from minicnn.kernels.floats import is_floating, is_half
from minicnn.kernels.samples import Rows, one_hot, take_rows
from minicnn.kernels.tf32 import use_tf32
from minicnn.kernels.varying import DeviceNumbers, vary

Array = np.ndarray
ZERO = ((0, 0), (0, 0))
SAME = ((1, 1), (1, 1))
# The last bit of float16 is worth 2**-11; what is rounded to it twice on the way is off by several. That of bfloat16 is
# worth 2**-8.
TOLERANCE = {"bfloat16": 2.4e-2, "float16": 3e-3, "float32": 3e-5, "float64": 1e-10, "tf32": 4e-3}
# What takes activations kept in 16 bits.
HALF = {"relu", "relu_gradient", "dropout_mask", "matmul", "sum_rows", "batch_moments", "batch_norm",
        "batch_norm_gradients", "max_pool2d", "max_pool2d_gradient", "max_pool2d_gather", "avg_pool2d",
        "avg_pool2d_gradient", "conv2d", "conv2d_input_gradient", "conv2d_kernel_gradient", "conv2d_block",
        "conv2d_block_gradients", "dense_block", "dense_block_gradients"}  # fmt: skip


# Beside the contract; chosen by the arrays alone.
BESIDE: dict[str, Callable[..., None]] = {
    "take_rows": lambda source, order, out, begin: take_rows(Rows(source, order, begin), out),
    "one_hot": one_hot,
}


class Sample(NamedTuple):
    """One call of a function of the contract.

    tf32: whether operands may be rounded.
    large: whether products are made in large tiles however few there are.
    varying: options that the kernels read from the device, as in a step that is replayed.
    """

    function: str
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    tf32: bool = False
    tolerance: float = TOLERANCE["float32"]
    varying: tuple[str, ...] = ()
    large: bool = False

    def run(self, kernels: Any) -> list[Array]:
        """What comes out on the host: results, then arguments, which may have changed."""
        arguments = tuple(self._placed(kernels, a) for a in self.arguments)
        options = {key: self._placed(kernels, value) for key, value in self.options.items()}
        call = BESIDE.get(self.function) or getattr(kernels, self.function)
        with use_tf32(self.tf32), _large_tiles() if self.large and kernels is not reference else nullcontext():
            replayed = self.varying and kernels is not reference
            results = self._replayed(call, arguments, options) if replayed else call(*arguments, **options)
        listed = results if isinstance(results, tuple) else (results,)
        arrays = [*listed, *arguments, *options.values()]
        return [a if isinstance(a, Array) else a.get() for a in arrays if hasattr(a, "strides")]

    def _replayed(self, call: Callable[..., Any], arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """What the call gives from a graph, launched when the numbers are what they were not when it was captured."""
        from minicnn.kernels.cuda.arrays import cupy

        numbers, asked, results = DeviceNumbers(cupy.empty(64, np.uint8)), itertools.count(), []

        def work() -> None:
            def later(value: Any) -> Any:
                return vary(lambda: value + 1 if next(asked) < len(self.varying) else value)

            results.append(call(*arguments, **options, **{key: later(value) for key, value in changing.items()}))

        changing = {key: options.pop(key) for key in self.varying}
        graph = Graph(work, numbers)
        numbers.renew()
        numbers.device.set(numbers.host)
        graph.launch()
        # The graph's memory goes with it.
        return results[0].copy() if hasattr(results[0], "copy") else results[0]

    @staticmethod
    def _placed(kernels: Any, value: Any) -> Any:
        if not isinstance(value, Array):
            return value
        if kernels is reference:
            return value.astype(np.float64) if is_floating(value.dtype) else value.copy()
        from minicnn.kernels.cuda.arrays import cupy

        if not value.flags.c_contiguous and not value.flags.f_contiguous:
            return cupy.asarray(np.repeat(value, 2, axis=-1))[..., ::2]
        # Transposed memory stays so.
        return cupy.asarray(value.T).T if value.flags.f_contiguous and value.ndim == 2 else cupy.asarray(value)

    def check(self, kernels: Any) -> None:
        """Raise AssertionError unless the results are those of `reference` in float64."""
        for actual, expected in zip(self.run(kernels), self.run(reference), strict=True):
            assert actual.shape == expected.shape, self.function
            if self.function == "conv2d_block" and expected.dtype.kind != "f":
                continue  # where cells are equal after the activation only, another one may win
            scale = max(1.0, float(np.abs(expected).max())) if expected.size else 1.0
            if is_half(actual.dtype):
                actual = actual.astype(np.float32)
            np.testing.assert_allclose(actual, expected, rtol=0, atol=self.tolerance * scale, err_msg=self.function)


@contextmanager
def _large_tiles() -> Iterator[None]:
    """With products made in large tiles even where these are too few for a GPU, so that small samples do."""
    from minicnn.kernels.cuda import matrices

    before = matrices.WANTED_SUMS, matrices.FOR_ONE_TILE
    matrices.WANTED_SUMS, matrices.FOR_ONE_TILE = 1, 1 << 20
    matrices.cut.cache_clear()
    try:
        yield
    finally:
        matrices.WANTED_SUMS, matrices.FOR_ONE_TILE = before
        matrices.cut.cache_clear()


def samples(large: bool = True) -> Iterator[Sample]:
    """All of them, or all but those that only large arrays can be."""
    for dtype in ("float32", "float64", "float16", "bfloat16"):
        draw = _drawer(dtype)
        for part in (_elementwise, _matrices, _pooling, _optimizers, _convolutions, _blocks, _more_blocks, _batches):
            for sample in part(draw):
                if dtype in ("float16", "bfloat16") and sample.function not in HALF:
                    continue
                yield sample._replace(tolerance=TOLERANCE["tf32" if sample.tf32 else dtype])
    if large:
        yield from _large()


def _drawer(dtype: str) -> Callable[..., Array]:
    generator = np.random.default_rng(0)
    return lambda *shape: np.asarray(generator.standard_normal(shape)).astype(dtype)


def _elementwise(draw: Callable[..., Array]) -> Iterator[Sample]:
    for shape in ((2, 3, 5), (2, 3, 8)):
        x, y = draw(*shape), draw(*shape)
        yield Sample("relu", (x,), {})
        yield Sample("relu_gradient", (x, y), {})
    yield Sample("erf", (x,), {})
    yield Sample("relu", (draw(0),), {})
    mask = Sample("dropout_mask", (draw(31),), {"rate": 0.3, "key": 2**63 + 5, "step": 2**40 + 1})
    yield from (mask, mask._replace(varying=("step",)))
    # Four lanes to a row, sixteen, a warp that keeps it, and one that reads it again.
    for columns in (3, 37, 100, 300):
        yield Sample("softmax", (draw(5, columns),), {})
        yield Sample("softmax_cross_entropy", (draw(5, columns), abs(draw(5, columns))), {})
    yield Sample("softmax", (draw(0, 3),), {})
    pictures, matrices = draw(2, 5, 4, 3), np.eye(2) + 0.1 * np.arange(8.0).reshape(2, 2, 2)
    for order, fill_mode in itertools.product((0, 1), ("constant", "nearest", "reflect", "wrap")):
        offsets = np.array([[-7.3, 9.1], [3.2, -4.7]])
        yield Sample(
            "affine_warp", (pictures, matrices, offsets), {"order": order, "fill_mode": fill_mode, "cval": 2.0}
        )


def _arithmetics(draw: Callable[..., Array]) -> tuple[bool, ...]:
    """Without TF32, and with it where there is such a thing."""
    return (False, True) if draw().dtype == np.float32 else (False,)


def _matrices(draw: Callable[..., Array]) -> Iterator[Sample]:
    def transposed(*shape: int) -> Array:
        return np.asfortranarray(draw(*shape))

    # Whole vectors of four, and not; each operand in both orders; with sums cut in parts.
    for (M, K, N), tf32 in itertools.product(((8, 36, 12), (7, 35, 9), (5, 600, 6)), _arithmetics(draw)):
        for a, b in itertools.product((draw, transposed), repeat=2):
            yield Sample("matmul", (a(M, K), b(K, N), draw(N)), {}, tf32)
    yield Sample("matmul", (draw(3, 4400), draw(4400, 5), draw(5)), {})  # so many parts that several threads add them
    yield Sample("matmul", (draw(4, 10)[:, ::2], draw(5, 3)), {})
    yield Sample("matmul", (draw(4, 4), draw(4, 4), None, draw(4, 4)), {})
    yield Sample("matmul", (draw(2, 0), draw(0, 3)), {})
    yield Sample("matmul", (draw(2, 0), draw(0, 3), draw(3)), {})
    yield Sample("matmul", (draw(0, 2), draw(2, 3)), {})
    # Columns in fours and not, fewer and more than threads beside one another, rows for more blocks than one.
    for shape in ((2100, 40), (600, 10), (9, 1), (40, 132), (40, 35)):
        yield Sample("sum_rows", (draw(*shape),), {})
    yield Sample("sum_rows", (draw(0, 3),), {})
    for columns in (35, 36):
        x, gy = draw(300, columns) + 3, draw(300, columns)
        x, gamma, beta = x.astype(gy.dtype), draw(columns), draw(columns)
        mean, variance = x.mean(axis=0), x.var(axis=0)
        yield Sample("batch_moments", (x,), {})
        yield Sample("batch_norm", (x, gamma, beta, mean, variance), {"epsilon": 0.01})
        yield Sample("batch_norm_gradients", (gy, x, gamma, mean, variance), {"epsilon": 0.01})


# Windows that overlap, that lie apart with cells between or behind them, and of so many cells that a winner takes more
# than a byte: (size, window, strides, padding).
POOLS = [
    ((7, 6), (3, 2), (2, 1), ((1, 1), (1, 0))),
    ((257, 2), (257, 1), (2, 1), ZERO),
    ((7, 9), (2, 2), (3, 3), ((1, 0), (1, 0))),
    ((258, 2), (257, 1), (257, 1), ZERO),
]


def _pooling(draw: Callable[..., Array]) -> Iterator[Sample]:
    for (size, window, strides, padding), channels in itertools.product(POOLS, (3, 8)):
        options: dict[str, Any] = {"pool_size": window, "strides": strides, "padding": padding}
        x = draw(2, *size, channels)
        _, winners = reference.max_pool2d(x, **options)
        gy = draw(*winners.shape)
        yield Sample("max_pool2d", (x,), options)
        yield Sample("max_pool2d_gradient", (gy, winners), {"input_size": size, **options})
        yield Sample("max_pool2d_gather", (x, winners), options)
        yield Sample("avg_pool2d", (x,), options)
        yield Sample("avg_pool2d_gradient", (gy,), {"input_size": size, **options})


def _optimizers(draw: Callable[..., Array]) -> Iterator[Sample]:
    p, g, v, m, s = draw(70), draw(70), abs(draw(70)), draw(70), draw(70)
    rate = {"learning_rate": 0.1}
    yield Sample("sgd_step", (p, g, None), {**rate, "momentum": 0.0, "nesterov": False})
    yield Sample("sgd_step", (p, g, m), {**rate, "momentum": 0.9, "nesterov": True})
    yield Sample("sgd_step", (p, g, m), {**rate, "momentum": 0.9, "nesterov": False})
    adam = {"beta_1": 0.9, "beta_2": 0.99, "epsilon": 1e-3, "weight_decay": 0.1, "step": 3}
    yield Sample("adam_step", (p, g, m, v), {**rate, **adam})
    rmsprop = {**rate, "rho": 0.9, "momentum": 0.5, "epsilon": 0.1}
    yield Sample("rmsprop_step", (p, g, v, None, None), rmsprop)
    yield Sample("rmsprop_step", (p, g, 9 + v, m, s / 9), rmsprop)
    yield Sample("adagrad_step", (p, g, v), {**rate, "epsilon": 1e-3})
    changing = ("learning_rate",)
    yield Sample("sgd_step", (p, g, m), {**rate, "momentum": 0.9, "nesterov": True}, varying=changing)
    yield Sample("adam_step", (p, g, m, v), {**rate, **adam}, varying=(*changing, "step"))
    yield Sample("rmsprop_step", (p, g, v, None, None), rmsprop, varying=changing)
    yield Sample("adagrad_step", (p, g, v), {**rate, "epsilon": 1e-3}, varying=changing)


def _passes(draw: Callable[..., Array], case: dict[str, Any], tf32: bool) -> Iterator[Sample]:
    N, size, C, kernel, F = (case[key] for key in ("N", "size", "C", "kernel", "F"))
    geometry = {"strides": (1, 1), "padding": ZERO, "dilation": (1, 1), "groups": 1, **case.get("geometry", {})}
    x, w, b = draw(N, *size, C), draw(*kernel, C // geometry["groups"], F), draw(F)
    gy = draw(*reference.conv2d(x, w, None, **geometry).shape)
    yield Sample("conv2d", (x, w, b), geometry, tf32)
    yield Sample("conv2d", (x, w, None), geometry, tf32)
    yield Sample("conv2d_input_gradient", (gy, w), {"input_size": size, **geometry}, tf32)
    yield Sample("conv2d_kernel_gradient", (x, gy), {"kernel_size": kernel, **geometry}, tf32)


CONVOLUTIONS: dict[str, dict[str, Any]] = {
    "whole vectors": {"N": 2, "size": (6, 7), "C": 8, "kernel": (3, 3), "F": 12, "geometry": {"padding": SAME}},
    "many filters and channels": {"N": 1, "size": (4, 5), "C": 36, "kernel": (2, 2), "F": 40},
    "many, and other numbers": {"N": 1, "size": (4, 5), "C": 37, "kernel": (2, 2), "F": 41},
    "other numbers": {"N": 2, "size": (6, 5), "C": 7, "kernel": (2, 3), "F": 9, "geometry": {"padding": SAME}},
    "strides and dilation": {"N": 2, "size": (9, 8), "C": 5, "kernel": (3, 2), "F": 8,
                             "geometry": {"strides": (2, 3), "dilation": (1, 2)}},
    "pixels that no tap reaches": {"N": 1, "size": (8, 8), "C": 8, "kernel": (1, 1), "F": 8,
                                   "geometry": {"strides": (2, 2)}},
    "groups": {"N": 2, "size": (5, 5), "C": 16, "kernel": (3, 3), "F": 24, "geometry": {"groups": 2}},
    "more windows than a part": {"N": 3, "size": (16, 16), "C": 8, "kernel": (2, 2), "F": 8},
    "one channel": {"N": 2, "size": (9, 9), "C": 1, "kernel": (5, 5), "F": 6, "geometry": {"strides": (2, 1)}},
    "filters in fours": {"N": 2, "size": (7, 6), "C": 6, "kernel": (2, 3), "F": 8, "geometry": {"groups": 2}},
    "many windows of one channel": {"N": 2, "size": (24, 24), "C": 1, "kernel": (2, 2), "F": 5},
    "depthwise": {"N": 2, "size": (6, 6), "C": 5, "kernel": (3, 3), "F": 10,
                  "geometry": {"groups": 5, "padding": SAME}},
    "no pictures": {"N": 0, "size": (5, 5), "C": 8, "kernel": (3, 3), "F": 8},
    "no pictures of one channel": {"N": 0, "size": (5, 5), "C": 1, "kernel": (3, 3), "F": 8},
}  # fmt: skip


def _convolutions(draw: Callable[..., Array]) -> Iterator[Sample]:
    for case in CONVOLUTIONS.values():
        for tf32 in _arithmetics(draw):
            yield from _passes(draw, case, tf32)


def _blocks(draw: Callable[..., Array]) -> Iterator[Sample]:
    pools = {
        "pooled in a tile": (8, ((2, 2), (2, 2), ZERO)),
        "pooled in a tile, other numbers": (7, ((2, 1), (2, 1), ZERO)),
        "pooled, many": (32, ((2, 2), (2, 2), ZERO)),
        "pooled, many, and other numbers": (33, ((1, 2), (1, 2), ZERO)),
        "overlapping": (8, ((3, 3), (2, 2), SAME)),
        "one channel": (1, ((2, 2), (2, 2), SAME)),
        "no pooling": (8, (None, None, None)),
    }
    activations = itertools.cycle(("relu", "linear", "leaky_relu", "elu", "sigmoid", "tanh"))
    for (C, pool), activation in zip(pools.values(), activations, strict=False):
        for tf32 in _arithmetics(draw):
            yield from _block(draw, C, pool, activation, tf32)


def _block(draw: Callable[..., Array], C: int, pool: tuple[Any, ...], activation: str, tf32: bool) -> Iterator[Sample]:
    geometry = {"strides": (1, 1), "padding": SAME, "dilation": (1, 1), "groups": 1, "activation": activation,
                "alpha": 0.3, "pool_size": pool[0], "pool_strides": pool[1], "pool_padding": pool[2]}  # fmt: skip
    x, w, b = draw(2, 7, 8, C), draw(3, 3, C, C + 4), draw(C + 4)
    y, winners = reference.conv2d_block(x, w, b, **geometry)
    yield Sample("conv2d_block", (x, w, b), geometry, tf32)
    yield Sample("conv2d_block", (x, w, None), geometry, tf32)
    gy = draw(*y.shape)
    # Which gradients are made is the same question for every type.
    plain = x.dtype == np.float32 and not tf32
    for needs in itertools.product((True, False), repeat=3) if plain else [(True, True, True)]:
        wanted = dict(zip(("needs_x", "needs_w", "needs_b"), needs, strict=True))
        yield Sample("conv2d_block_gradients", (gy, y, winners, x, w), {**wanted, **geometry}, tf32)


def _more_blocks(draw: Callable[..., Array]) -> Iterator[Sample]:
    """Averages behind a convolution, what is not kept, dense layers."""
    x, w, b = draw(2, 7, 8, 8), draw(3, 3, 8, 8), draw(8)
    options = {"strides": (1, 1), "padding": SAME, "dilation": (1, 1), "groups": 1, "activation": "tanh", "alpha": 1.0,
               "pool_size": (2, 2), "pool_strides": (2, 2), "pool_padding": ZERO}  # fmt: skip
    y, kept = reference.conv2d_block(x, w, b, **options, pooling="avg")
    yield Sample("conv2d_block", (x, w, b), {**options, "pooling": "avg"})
    needs = {"needs_x": True, "needs_w": True, "needs_b": True}
    gradients = {**options, **needs, "pooling": "avg"}
    yield Sample("conv2d_block_gradients", (draw(*y.shape), y, kept, x, w), gradients)
    for pool in ("max", "avg"):
        yield Sample("conv2d_block", (x, w, b), {**options, "pooling": pool, "keep": False})
    m, k, n = draw(5, 7), draw(7, 6), draw(6)
    z = reference.dense_block(m, k, n, activation="elu", alpha=0.3)
    dense = {"activation": "elu", "alpha": 0.3}
    yield Sample("dense_block", (m, k, n), dense)
    yield Sample("dense_block_gradients", (draw(*z.shape), z, m, k), {**needs, **dense})
    for columns in (3, 37, 100, 300, 0):
        p, t = abs(draw(5, columns)), draw(5, columns)
        yield Sample("softmax_cross_entropy_gradient", (draw(5), p, t), {})


def _batches(draw: Callable[..., Array]) -> Iterator[Sample]:
    """Rows of every number of bytes, as they are and as other numbers, and labels."""
    order, kind = np.array([4, 0, 2, 2, 6]), draw().dtype
    other = np.float64 if kind == np.float32 else np.float32
    for dtype, row in ((np.uint8, 3), (np.uint8, 2), (np.int16, 2), (np.int64, 1), (np.int64, 4)):
        source = (draw(7, row) * 50).astype(dtype)
        yield Sample("take_rows", (source, order, np.zeros((3, row), dtype), 1), {})
    for dtype, row in itertools.product((kind, other, np.uint8, np.int16), (4, 3)):
        source = (abs(draw(7, row)) * 50).astype(dtype)
        yield Sample("take_rows", (source, order, draw(3, row), 1), {})
    yield Sample("take_rows", (draw(7, 2, 3), None, draw(3, 2, 3), 4), {})
    yield Sample("one_hot", (np.array([3, 0, 2]), draw(3, 5)), {})


def _large() -> Iterator[Sample]:
    """What takes large tiles: once as many as there must be for them, else one of each, with edges."""
    draw = _drawer("float32")
    yield Sample("matmul", (draw(2048, 8), draw(8, 1024)), {})
    yield Sample("matmul", (draw(2, 66_000), draw(66_000, 3), draw(3)), {})  # in more parts than eight threads add
    for dtype, tf32 in (("float32", False), ("float32", True), ("float16", False), ("bfloat16", False)):
        draw, tolerance = _drawer(dtype), TOLERANCE["tf32" if tf32 else dtype]
        how = {"tf32": tf32, "tolerance": tolerance, "large": True}
        for rows, a, b in itertools.product((124, 60), (False, True), (False, True)):
            left, right = draw(rows, 36), draw(36, 60)
            operands = np.asfortranarray(left) if a else left, np.asfortranarray(right) if b else right
            yield Sample("matmul", operands, {}, **how)
        options = {"strides": (1, 1), "padding": SAME, "dilation": (1, 1), "groups": 1}
        for C, F, x_channels in ((8, 60, 12), (8, 28, 12), (13, 28, 13)):
            x, gy = draw(2, 9, 7, C), draw(2, 9, 7, F)
            yield Sample("conv2d", (x, draw(3, 3, C, F), None), options, **how)
            yield Sample("conv2d_input_gradient", (x, draw(3, 3, F, C)), {"input_size": (9, 7), **options}, **how)
            x = draw(2, 9, 7, x_channels)
            yield Sample("conv2d_kernel_gradient", (x, gy), {"kernel_size": (3, 3), **options}, **how)
