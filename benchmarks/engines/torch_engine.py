"""PyTorch: eager, channels-last, or compiled; the loop is the plain one that its users write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from ..cases import ConvCase, DenseCase, ProductCase
from ..flat_cases import FlatCase
from ..workloads import Conv, Dense, Dropout, Pool, Workload
from . import on_gpu

_ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}


class Engine:
    def __init__(self, threads: int, variant: str, device: str = "cpu", mode: str | None = None) -> None:
        torch.set_num_threads(threads)
        torch.manual_seed(1)
        self.variant, self.mode, self.device = variant, mode, device
        if device == "cuda":
            on_gpu.require_torch_gpu()
            # As its convolutions are by default.
            torch.backends.cuda.matmul.allow_tf32 = True
            # The default stream cannot be captured, and gradients run where their forward pass ran.
            self.stream = torch.cuda.Stream()
            torch.cuda.set_stream(self.stream)
        self.format = torch.contiguous_format if variant == "eager" else torch.channels_last

    def versions(self) -> dict[str, str]:
        found = {"torch": torch.__version__, "variant": self.variant}
        if self.device == "cuda":
            found |= {"mode": self.mode or "", "cuda": str(torch.version.cuda)}
            found["cudnn"] = str(torch.backends.cudnn.version())
        return found

    def wait(self) -> None:
        torch.cuda.synchronize()

    def repeated(self, run: Callable[[], Any], times: int) -> Callable[[], Any]:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self.stream):
            for _ in range(times):
                run()

        def replay(_: Any = run) -> None:  # which holds the arrays that the graph reads
            graph.replay()

        return replay

    def device_memory(self) -> float:
        return torch.cuda.max_memory_reserved() / 2**20

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
        self.model: Any = nn.Sequential(*stack).to(self.device, memory_format=self.format)
        parameters = self.model.parameters()
        if workload.optimizer == "adam":
            self.optimizer: Any = torch.optim.Adam(parameters, workload.learning_rate, eps=1e-7, fused=True)
        else:
            self.optimizer = torch.optim.SGD(
                parameters, workload.learning_rate, momentum=workload.momentum, fused=True
            )  # fmt: skip
        self.plain = self.model
        if self.variant == "compiled":
            self.model = torch.compile(self.model, mode=self.mode)
        self.loss = nn.CrossEntropyLoss()
        self.batch_size = workload.batch_size

    def _pictures(self, x: np.ndarray) -> torch.Tensor:
        # NHWC in memory, seen as NCHW: what channels-last means; the default layout needs a copy, made once.
        return torch.from_numpy(x).to(self.device).permute(0, 3, 1, 2).contiguous(memory_format=self.format)

    def _step(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        loss = self.loss(self.model(x), y)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss

    def epoch(self, x: np.ndarray, y: np.ndarray) -> None:
        if getattr(self, "_cached_for", None) is not x:
            self._cached_for, self._x, self._y = x, self._pictures(x), torch.from_numpy(y).to(self.device)
        self.model.train()
        for chosen in torch.randperm(len(x), device=self.device).split(self.batch_size):
            self._step(self._x[chosen], self._y[chosen])

    def losses(self, x: np.ndarray, y: np.ndarray, steps: int) -> list[float]:
        pictures, labels = self._pictures(x), torch.from_numpy(y).to(self.device)
        self.model.train()
        return [self._step(pictures, labels).item() for _ in range(steps)]

    def predict(self, x: np.ndarray, batch_size: int) -> np.ndarray:
        # On a GPU predictions are not timed: compiling them, too, would only take longer.
        model = self.model if self.device == "cpu" else self.plain
        model.eval()
        with torch.inference_mode():
            parts = [torch.softmax(model(part), 1) for part in self._pictures(x).split(batch_size)]
        return torch.cat(parts).cpu().numpy()

    def layer(self, case: Any, what: str) -> Callable[[], Any] | None:
        if self.variant == "compiled":
            return None
        if isinstance(case, ConvCase):
            return _convolution(case, what, self.format, self.device)
        if self.variant != "eager":
            return None
        if isinstance(case, DenseCase):
            return _dense_pass(case, what, self.device)
        return _product(case.size, self.device) if isinstance(case, ProductCase) else _flat(case, self.device)


def _random(device: str, *shapes: tuple[int, ...]) -> list[torch.Tensor]:
    generator = torch.Generator(device).manual_seed(0)
    return [torch.randn(shape, generator=generator, device=device) for shape in shapes]


def _product(size: int, device: str) -> Callable[[], Any]:
    a, b = _random(device, (size, size), (size, size))
    return lambda: a @ b


def _back(y: torch.Tensor, inputs: list[torch.Tensor]) -> Callable[[], Any]:
    (g,) = _random(y.device.type, tuple(y.shape))
    return lambda: torch.autograd.grad(y, inputs, g, retain_graph=True)


def _flat(case: FlatCase, device: str) -> Callable[[], Any]:
    functional, rows = nn.functional, (case.count // 64, 64)
    pictures = (case.count // 64 // 64 // 64, 64, 64, 64)
    x = torch.empty(0)
    if "pool" in case.what:
        x = _random(device, pictures)[0].contiguous(memory_format=torch.channels_last).requires_grad_()
        pool = functional.max_pool2d if case.what.startswith("max") else functional.avg_pool2d
        return _back(pool(x, 2), [x]) if case.what.endswith("back") else torch.inference_mode()(lambda: pool(x, 2))
    if case.what in ("sgd", "adam"):
        (p,) = _random(device, (case.count,))
        p.grad = torch.ones_like(p)
        kind = torch.optim.SGD if case.what == "sgd" else torch.optim.Adam
        # An Adam that a graph replays has to count its steps on the GPU.
        options: Any = {"momentum": 0.9} if case.what == "sgd" else {"capturable": device == "cuda"}
        return kind([p.requires_grad_()], lr=1e-3, fused=True, **options).step
    (x,) = _random(device, rows)
    if case.what == "copy":
        y = torch.empty_like(x)
        return lambda: y.copy_(x)
    x.requires_grad_()
    if case.what == "softmax cross-entropy":
        labels = torch.zeros(rows[0], dtype=torch.int64, device=device)
        return lambda: torch.autograd.grad(functional.cross_entropy(x, labels), [x])
    scale, shift = torch.ones(64, device=device), torch.zeros(64, device=device)

    def batch_norm() -> torch.Tensor:
        return functional.batch_norm(x, None, None, scale.requires_grad_(), shift.requires_grad_(), training=True)

    if case.what.endswith("back"):
        return _back(torch.relu(x), [x]) if case.what.startswith("relu") else _back(batch_norm(), [x, scale, shift])
    run: dict[str, Callable[[], Any]] = {
        "relu": lambda: torch.relu(x), "dropout": lambda: functional.dropout(x, 0.5), "batch norm": batch_norm,
        "sum of rows": lambda: x.sum(0),
    }  # fmt: skip
    return torch.no_grad()(run[case.what])


def _convolution(case: ConvCase, what: str, layout: Any, device: str) -> Callable[[], Any]:
    functional, (OH, OW) = nn.functional, case.output
    x, w, gy = (
        tensor.contiguous(memory_format=layout)
        for tensor in _random(
            device, (case.N, case.C, case.H, case.W), (case.F, case.C, *case.kernel), (case.N, case.F, OH, OW)
        )
    )  # fmt: skip
    (b,) = _random(device, (case.F,))
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


def _dense_pass(case: DenseCase, what: str, device: str) -> Callable[[], Any]:
    x, w, b, gy = _random(device, (case.M, case.K), (case.N, case.K), (case.N,), (case.M, case.N))
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
