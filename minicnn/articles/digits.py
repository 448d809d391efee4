"""What the articles on MNIST share."""

from __future__ import annotations

CLASSES = tuple("0123456789")
