"""Engines measured side by side, in turns, on the same work."""
