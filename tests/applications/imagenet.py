"""Stand-ins for what comes with networks for ImageNet."""

from __future__ import annotations

import json


def write_classes(folder, name):
    """A list of the classes as Keras has it, or as lines."""
    if name.endswith(".json"):
        index = {str(k): [f"n{k:08d}", f"thing_{k}"] for k in range(1000)}
        (folder / name).write_text(json.dumps(index), encoding="utf-8")
    else:
        lines = [f"n{k:08d} thing {k}, article {k}" for k in range(1000)]
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
