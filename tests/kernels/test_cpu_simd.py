"""Every vector width gives the same results, whatever width this machine has of its own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

CASES = """
import numpy as np
from minicnn.kernels import cpu, reference
from minicnn.kernels.cpu import vectors

assert vectors.VECTOR_BYTES == 4 * min(LANES, HOST), vectors.VECTOR_BYTES
rng = np.random.default_rng(0)
for dtype, tolerance in ((np.float32, 1e-5), (np.float64, 1e-12)):
    def array(*shape):
        return rng.standard_normal(shape).astype(dtype)
    def close(a, b):
        assert a.dtype == b.dtype == dtype
        assert abs(a - b).max() <= tolerance * abs(b).max()
    # 1, 5, 10, 24 and 40 filters: no vector, part of one, one and a part, panels and a part
    shapes = ((3, 5, 3, (1, 1), 1), (2, 10, 2, (2, 1), 2), (4, 24, 1, (1, 2), 1), (1, 40, 3, (1, 1), 1))
    for C, F, KH, strides, groups in shapes:
        options = dict(strides=strides, padding=((1, 0), (0, 2)), dilation=(1, 2), groups=groups)
        x, w, b = array(3, 9, 11, C), array(KH, 3, C // groups, F), array(F)
        y = cpu.conv2d(x, w, b, **options)
        close(y, reference.conv2d(x, w, b, **options))
        gy = array(*y.shape)
        close(cpu.conv2d_kernel_gradient(x, gy, kernel_size=(KH, 3), **options),
              reference.conv2d_kernel_gradient(x, gy, kernel_size=(KH, 3), **options))
        close(cpu.conv2d_input_gradient(gy, w, input_size=(9, 11), **options),
              reference.conv2d_input_gradient(gy, w, input_size=(9, 11), **options))
    # few filters: pixels in the lanes, 7 to 38 of them: part of a vector, one, one and a part, pairs and a part
    for W in (9, 14, 20, 40):
        options = dict(strides=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1), groups=1)
        x, w = array(2, 7, W, 8), array(3, 3, 8, 4)
        y = cpu.conv2d(x, w, None, **options)
        close(y, reference.conv2d(x, w, None, **options))
        close(cpu.conv2d_input_gradient(y, w, input_size=(7, W), **options),
              reference.conv2d_input_gradient(y, w, input_size=(7, W), **options))
    # behind tiles of 14 rows are left 1, 4, 5, 8, 9 and none
    for M, K, N in ((1, 7, 9), (32, 40, 40), (19, 9, 5), (64, 33, 17), (23, 9, 20), (28, 9, 9), (300, 300, 70)):
        a, b = array(M, K), array(K, N)
        close(cpu.matmul(a, b), a @ b)
        close(cpu.matmul(np.asfortranarray(a), np.asfortranarray(b), b[0]), a @ b + b[0])
"""


def run(source: str, width: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "MINICNN_VECTOR_WIDTH": width}
    return subprocess.run([sys.executable, "-c", source], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_kernels_are_right_at_every_vector_width(lanes):
    from minicnn.kernels.cpu import vectors

    host = vectors.host_lanes()
    finished = run(CASES.replace("LANES", str(lanes)).replace("HOST", str(host)), str(lanes))
    assert finished.returncode == 0, finished.stderr


def test_a_width_that_does_not_exist_is_refused():
    finished = run("import minicnn.kernels.cpu", "12")
    assert finished.returncode != 0
    assert "MINICNN_VECTOR_WIDTH: expected 4, 8 or 16 (float32 lanes), got '12'" in finished.stderr
