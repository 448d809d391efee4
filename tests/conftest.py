"""What every test runs under: fixed seeds and reproducible generated cases."""

from __future__ import annotations

import sys

import pytest
from hypothesis import HealthCheck, settings

from tests import oracles
from tests.cuda_on_host import device

# Stands in for a missing Numba, and so cannot be imported.
collect_ignore = ["no_numba"]

settings.register_profile(
    "minicnn",
    deadline=None,
    derandomize=True,
    max_examples=200,
    # The autouse fixture below is per test, not per generated case; the cases seed themselves.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("minicnn")


def pytest_configure(config: pytest.Config) -> None:
    """Only ``-m gpu`` uses a GPU; without it the tests of the GPU's path run on the processor."""
    device.on_gpu = config.option.markexpr == "gpu"


@pytest.fixture(autouse=True)
def fixed_seed():
    """Start every test from the same seed and the same automatic layer names."""
    import minicnn

    minicnn.set_seed(0)
    oracles.seed()
    # Tests of the floors below do not pay for importing the layers.
    layers = sys.modules.get("minicnn.layers")
    if layers is not None:
        layers.reset_names()
