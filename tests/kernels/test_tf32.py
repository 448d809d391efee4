"""Whether float32 may be rounded to TF32: by switch and by environment."""

from __future__ import annotations

import pytest

from minicnn.kernels import tf32, use_tf32


@pytest.mark.parametrize(("text", "used"), [(None, True), ("1", True), ("0", False)])
def test_tf32_is_as_the_environment_says_until_somebody_switches(
    monkeypatch: pytest.MonkeyPatch, text: str | None, used: bool
) -> None:
    monkeypatch.setattr(tf32, "_allowed", None)
    monkeypatch.delenv("MINICNN_TF32", raising=False)
    if text is not None:
        monkeypatch.setenv("MINICNN_TF32", text)
    assert tf32.tf32_is_used() is used
    with use_tf32(not used):
        assert tf32.tf32_is_used() is not used
        with use_tf32(used):
            assert tf32.tf32_is_used() is used
    assert tf32.tf32_is_used() is used


def test_tf32_in_the_environment_is_zero_or_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf32, "_allowed", None)
    monkeypatch.setenv("MINICNN_TF32", "yes")
    with pytest.raises(ValueError, match="MINICNN_TF32: expected 0 or 1, got 'yes'"):
        tf32.tf32_is_used()
