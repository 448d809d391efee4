"""An article's network for another number of classes than the article's."""

from __future__ import annotations

from minicnn.models import Sequential


def with_classes(model: Sequential, count: int) -> Sequential:
    """The network with an output for each of so many classes: as it is where it fits, else its last dense layer anew.

    One output serves two classes: it is the probability of the second.

    Args:
        model: with fresh weights.
        count: how many classes there are.

    Raises:
        ValueError: the network has one output and there are more than two classes, or it does not end in a dense layer
            (perhaps with an activation after it).

    >>> from minicnn import articles
    >>> with_classes(articles.get("besbes").build(), 5).output_shape
    (None, 5)
    """
    outputs = model.output_shape[-1]
    if outputs == count or (outputs == 1 and count == 2):
        return model
    if outputs == 1:
        raise ValueError(f"{model.name} has one output, which serves two classes, but there are {count}")
    config = model.get_config()
    layers = config["layers"]
    last = len(layers) - 1
    while last > 0 and layers[last]["class_name"] in ("Activation", "Softmax"):
        last -= 1
    if layers[last]["class_name"] != "Dense":
        raise ValueError(
            f"{model.name} has {outputs} outputs and ends in {layers[last]['class_name']}, not in a dense layer that "
            f"could be given {count}"
        )
    layers[last]["config"]["units"] = count
    return Sequential.from_config(config)
