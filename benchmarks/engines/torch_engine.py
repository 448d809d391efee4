"""PyTorch: eager, channels-last, or compiled; the loop is the plain one that its users write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from ..cases import ConvCase, DenseCase
from ..workloads import Conv, Dense, Dropout, Pool, Workload

_ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}


class Engine:
    def __init__(self, threads: int, variant: str) -> None:
        torch.set_num_threads(threads)
        torch.manual_seed(1)
        self.variant = variant
        self.format = torch.contiguous_format if variant == "eager" else torch.channels_last

    def versions(self) -> dict[str, str]:
        return {"torch": torch.__version__, "variant": self.variant}

    def build(self, workload: Workload, dropout: bool) -> None:
        stack: list[Any] = [nn.ZeroPad2d(workload.border)] if workload.border else []
        H, W, C = workload.input_shape
        weights, flat = workload.weights(), False
        H, W = H + 2 * workload.border, W + 2 * workload.border
        for layer in workload.layers:
            if isinstance(layer, Conv):
                w, b = next(weights), next(weights)
                stack += [_conv(layer, w, b), _ACTIVATIONS[layer.activation]()]
                if layer.padding == "valid":
                    H, W = H - layer.kernel[0] + 1, W - layer.kernel[1] + 1
                C = layer.filters
            elif isinstance(layer, Pool):
                stack.append(nn.MaxPool2d(2) if layer.kind == "max" else nn.AvgPool2d(2))
                H, W = H // 2, W // 2
            elif isinstance(layer, Dropout):
                stack += [nn.Dropout(layer.rate)] if dropout else []
            elif isinstance(layer, Dense):
                w, b = next(weights), next(weights)
                if not flat:
                    # The rows of w are in the order H, W, C; PyTorch flattens C, H, W.
                    w = w.reshape(H, W, C, -1).transpose(2, 0, 1, 3).reshape(w.shape)
                stack += [*([] if flat else [nn.Flatten()]), _dense(w, b)]
                stack += [_ACTIVATIONS[layer.activation]()] if layer.activation else []
                flat = True
        self.model: Any = nn.Sequential(*stack).to(memory_format=self.format)
        parameters = self.model.parameters()
        if workload.optimizer == "adam":
            self.optimizer: Any = torch.optim.Adam(parameters, workload.learning_rate, eps=1e-7, fused=True)
        else:
            self.optimizer = torch.optim.SGD(
                parameters, workload.learning_rate, momentum=workload.momentum, fused=True
            )  # fmt: skip
        if self.variant == "compiled":
            self.model = torch.compile(self.model)
        self.loss = nn.CrossEntropyLoss()
        self.batch_size = workload.batch_size

    def _pictures(self, x: np.ndarray) -> torch.Tensor:
        # NHWC in memory, seen as NCHW: what channels-last means; the default layout needs a copy, made once.
        return torch.from_numpy(x).permute(0, 3, 1, 2).contiguous(memory_format=self.format)

    def _step(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        loss = self.loss(self.model(x), y)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss

    def epoch(self, x: np.ndarray, y: np.ndarray) -> None:
        if getattr(self, "_cached_for", None) is not x:
            self._cached_for, self._x, self._y = x, self._pictures(x), torch.from_numpy(y)
        self.model.train()
        for chosen in torch.randperm(len(x)).split(self.batch_size):
            self._step(self._x[chosen], self._y[chosen])

    def losses(self, x: np.ndarray, y: np.ndarray, steps: int) -> list[float]:
        pictures, labels = self._pictures(x), torch.from_numpy(y)
        self.model.train()
        return [self._step(pictures, labels).item() for _ in range(steps)]

    def predict(self, x: np.ndarray, batch_size: int) -> np.ndarray:
        self.model.eval()
        with torch.inference_mode():
            parts = [torch.softmax(self.model(part), 1) for part in self._pictures(x).split(batch_size)]
        return torch.cat(parts).numpy()


    def layer(self, case: Any, what: str) -> Callable[[], Any] | None:
        if self.variant == "compiled":
            return None
        if isinstance(case, ConvCase):
            return _convolution(case, what, self.format)
        if self.variant != "eager":
            return None
        return _dense_pass(case, what) if isinstance(case, DenseCase) else _product(case.size)


def _random(*shapes: tuple[int, ...]) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator) for shape in shapes]


def _product(size: int) -> Callable[[], Any]:
    a, b = _random((size, size), (size, size))
    return lambda: a @ b


def _back(y: torch.Tensor, inputs: list[torch.Tensor]) -> Callable[[], Any]:
    (g,) = _random(tuple(y.shape))
    return lambda: torch.autograd.grad(y, inputs, g, retain_graph=True)


def _convolution(case: ConvCase, what: str, layout: Any) -> Callable[[], Any]:
    functional, (OH, OW) = nn.functional, case.output
    x, w, gy = (
        tensor.contiguous(memory_format=layout)
        for tensor in _random(
            (case.N, case.C, case.H, case.W), (case.F, case.C, *case.kernel), (case.N, case.F, OH, OW)
        )
    )  # fmt: skip
    (b,) = _random((case.F,))
    if what == "forward":
        return lambda: functional.conv2d(x, w, b, padding=case.padding)
    pads = [(size - 1) // 2 if case.padding == "same" else 0 for size in case.kernel]
    if what in ("by x", "by w"):
        wanted = [what == "by x", what == "by w", False]
        return lambda: torch.ops.aten.convolution_backward(
            gy, x, w, None, [1, 1], pads, [1, 1], False, [0, 0], 1, wanted
        )  # fmt: skip
    activation = getattr(torch, case.activation)

    def block() -> torch.Tensor:
        y = activation(functional.conv2d(x, w, b, padding=case.padding))
        return functional.max_pool2d(y, 2) if case.pool else y

    if what == "block":
        return torch.inference_mode()(block)
    inputs = [tensor.requires_grad_() for tensor in (x, w, b)]
    return _back(block(), inputs)


def _dense_pass(case: DenseCase, what: str) -> Callable[[], Any]:
    x, w, b, gy = _random((case.M, case.K), (case.N, case.K), (case.N,), (case.M, case.N))
    activation = getattr(torch, case.activation) if case.activation != "linear" else lambda y: y
    if what == "block back":
        inputs = [tensor.requires_grad_() for tensor in (x, w, b)]
        return _back(activation(nn.functional.linear(x, w, b)), inputs)
    return {
        "forward": lambda: nn.functional.linear(x, w, b),
        "by x": lambda: gy @ w,
        "by w": lambda: gy.T @ x,
        "block": lambda: activation(nn.functional.linear(x, w, b)),
    }[what]


def _conv(layer: Conv, w: np.ndarray, b: np.ndarray) -> nn.Conv2d:
    conv = nn.Conv2d(w.shape[2], layer.filters, layer.kernel, padding=layer.padding)
    with torch.no_grad():
        conv.weight.copy_(torch.from_numpy(w.transpose(3, 2, 0, 1).copy()))
        conv.bias.copy_(torch.from_numpy(b))
    return conv


def _dense(w: np.ndarray, b: np.ndarray) -> nn.Linear:
    dense = nn.Linear(*w.shape)
    with torch.no_grad():
        dense.weight.copy_(torch.from_numpy(w.T.copy()))
        dense.bias.copy_(torch.from_numpy(b))
    return dense
