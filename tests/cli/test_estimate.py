"""What a training is expected to take, and what the machine is known to have."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn import articles
from minicnn.cli import machine
from minicnn.cli.estimate import (
    bytes_for_weights,
    bytes_per_picture,
    check_memory,
    describe_bytes,
    describe_duration,
    estimate,
    time_training,
)


@pytest.mark.parametrize(("count", "text"), [(1, "1 MB"), (320e6, "320 MB"), (1.5e9, "1.5 GB"), (999.6e6, "1000 MB")])
def test_bytes(count, text):
    assert describe_bytes(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.1 minutes"), (90, "1.5 minutes"), (600, "10 minutes"), (5340, "89 minutes"), (9000, "2.5 hours")],
)
def test_durations(seconds, text):
    assert describe_duration(seconds) == text


def test_bytes_of_a_known_network():
    model = articles.get("fashion-conv1x3").build()
    assert bytes_for_weights(model) == 4 * 4 * 39_230
    # The picture, five maps, the same flattened, ten classes; each kept and met by its gradient.
    assert bytes_per_picture(model) == 2 * 4 * (784 + 3920 + 3920 + 10)


def test_counting_allocates_no_weights():
    model = articles.get("eastmount").build()
    check_memory(model, 64, None)
    assert not any(weight.materialised for weight in model.weights)


def test_the_named_batch_size_fits_and_twice_it_does_not():
    model = articles.get("lenet5").build()
    available = 50_000_000
    with pytest.raises(ValueError, match=r"--batch-size (\d+) fits") as caught:
        check_memory(model, 100_000, available)
    fitting = int(str(caught.value).rsplit(" ", 2)[1])
    assert check_memory(model, fitting, available) <= 0.9 * available
    with pytest.raises(ValueError, match="needs about"):
        check_memory(model, 2 * fitting, available)


def test_unknown_memory_refuses_nothing():
    assert check_memory(articles.get("lenet5").build(), 10**9, None) > 10**12


def test_extrapolation():
    expected = estimate((0.1, 0.02), pictures=100, measured=50, batch_size=10, epochs=3, memory=10**15)
    assert expected.seconds == pytest.approx(3 * 10 * 0.1 + 5 * 0.02)
    assert expected.memory == 10**15
    assert estimate((1, 1), pictures=1, measured=1, batch_size=1, epochs=1, memory=0).memory > 10**7


def test_the_first_step_is_not_timed():
    class Model:
        calls = 0

        def train_on_batch(self, x, y):
            self.calls += 1
            assert len(x) == len(y) == 4

        def predict_on_batch(self, x):
            assert len(x) == 4

    model = Model()
    step, prediction = time_training(lambda: model, np.zeros((9, 2)), np.zeros(9), 4)
    assert model.calls == 4
    assert 0 <= step < 1
    assert 0 <= prediction < 1


def test_the_machine_is_known():
    assert machine.processor_name()
    assert machine.usable_processors() >= 1
    assert machine.available_memory() is None or machine.available_memory() > 10**7
    assert machine.resident_memory() is None or 10**7 < machine.resident_memory() < 10**12


def test_no_graphics_card_without_the_drivers_tool(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert machine.graphics_cards() == []


def test_a_containers_limit_counts(monkeypatch):
    files = {
        "/proc/meminfo": "MemTotal: 1000 kB\nMemAvailable: 900000 kB\n",
        "/sys/fs/cgroup/memory.max": "500000000\n",
        "/sys/fs/cgroup/memory.current": "300000000\n",
        "/sys/fs/cgroup/memory.stat": "anon 1\ninactive_file 50000000\n",
    }
    monkeypatch.setattr(machine, "_read", lambda path: files.get(path, ""))
    monkeypatch.setattr(machine.sys, "platform", "linux")
    assert machine.available_memory() == 250_000_000
    files["/sys/fs/cgroup/memory.max"] = "max\n"
    assert machine.available_memory() == 900_000 * 1024
