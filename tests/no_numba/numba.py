"""Stands before the real Numba on PYTHONPATH and cannot be imported: a machine without Numba."""

raise ModuleNotFoundError("No module named 'numba' (kept out of reach for this test run)", name="numba")
