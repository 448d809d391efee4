"""Nothing of the five articles is left out: each row of their index, and where it is answered.

A to E are the articles (Strika, FreeOfConfines, Eastmount, Le Khuyen, Besbes), numbers their networks and
demonstrations in order. An answer is a network of the registry, a name of the library, a piece of a notebook's code, or
a script of `tests/compat`.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

from minicnn import articles
from minicnn.articles.registry import names

ROOT = Path(__file__).resolve().parent.parent.parent
# Row -> its networks by name.
NETWORKS = {
    "A1": ["strika-dense"],
    "A2": ["strika-conv24"],
    "A3": ["strika-conv48"],
    "A4": ["strika-conv128"],
    "A5": ["strika-final"],
    "B1": ["fashion-conv1x3"],
    "B2": ["fashion-depth-max"],
    "B3": [
        "fashion-depth-max", "fashion-conv3x3", "fashion-10", "fashion-10-pool", "fashion-10-20", "fashion-10-20-pool",
        "fashion-10-pool-20-pool", "fashion-10-20-30", "fashion-10-20-30-pool", "fashion-10-pool-20-30-pool",
        "fashion-10-20-30-depth-max", "fashion-softmax",
    ],
    "B10": ["fashion-softmax", "fashion-dense"],
    "C1": ["eastmount", "eastmount-as-run"],
    "C2": ["eastmount-pyramid"],
    "D1": ["khuyen"],
    "E2": ["besbes-dense-count"],
    "E3": ["lenet5"],
    "E4": ["alexnet"],
    "E5": ["besbes"],
    "E6": ["besbes-vgg16", "besbes-squeezenet"],
    "E7": ["besbes-progress"],
}  # fmt: skip
# Row -> what else answers it: "module:name", or "file: code".
DEMONSTRATIONS = {
    "A1": ["minicnn.articles.measures:guesses", "01: -np.log(1e-7) / 2"],
    "A2": ["minicnn.articles.measures:correlation", "minicnn.articles.measures:mean_by_class", "01: plots.scatter("],
    "A3": ["01: threshold_sweep(", "01: plots.samples(x_test[number"],
    "A4": [
        "minicnn.articles.measures:threshold_sweep", "01: second_half = load_model(",
        "pets.py: keras.models.load_model(path)",
    ],
    "A5": ["01: squared error with {right:.0%} right"],
    "A6": ['01: plots.filtered(x[0], ["identity", "sobel-x", "sobel-y", "sobel"])', "04: F.convolve2d("],
    "B1": ["02: 784 * 128 * 32 * 10"],
    "B4": ["02: model.summary()", "02: plots.plot_model(deep, ", "fashion.py: show_shapes=True, show_layer_names=True"],
    "B5": ["02: error rate", "fashion.py: model.predict(test_images, steps=1)"],
    "B6": ["02: plots.misclassified(x_test, ", "minicnn.articles.measures:mistakes"],
    "B7": ["02: model.layers[0].set_weights([twos, bias])"],
    "B8": ["02: on_epoch_begin=lambda epoch, logs: print(", "02: WeightHistory("],
    "B9": [
        "02: [layer.output for layer in deep.layers]", "02: plots.activations(", "02: plots.dead_maps(",
        "fashion.py: tf.reduce_max(input_tensor=X, axis=3, keepdims=True)", "02: plots.history(",
    ],
    "B10": ["02: F.softmax(logits)", '02: ("divided twice", x / np.float32(255))'],
    "C2": [
        "03: to_categorical([3], num_classes=10)", '03: for padding in ("valid", "same")',
        '03: plots.plot_model(articles.get("eastmount-pyramid")', "03: kernel.reshape(28 * 28, 10)",
    ],
    "D2": ["04: print(correlate(picture, kernel))", "04: explain.pixel("],
    "D3": ["04: correlate(picture, kernel, padding=1)"],
    "D4": ["04: correlate(picture, kernel, padding=1, strides=3)"],
    "D5": ["04: F.max_pool2d(windows, 3, strides=1)", "04: F.avg_pool2d(windows, 2, strides=2)"],
    "D6": [
        "04: plots.samples(x[:10], y[:10])", "04: plots.history(curves", "04: plots.confusion_matrix(",
        "04: predictions=probabilities[some]", "04: vary(base, changes)",
    ],
    "E1": [
        '05: "box", "box-8", "sobel-x", "sobel-y", "sobel"', "besbes.py: convolve2d(", "besbes.py: cv2.cvtColor(",
        '05: filter_picture(x[0], "sobel-x", mode="full")', "05: strength = edges.predict(",
    ],
    "E2": ["05: count.summary()"],
    "E3": ['05: articles.get("lenet5")', "05: articles.pattern("],
    "E5": ["05: ImageDataGenerator(", "05: recipe.optimizer()", "besbes.py: fit_generator("],
    "E6": [
        "05: VGG16(include_top=False", "05: frozen.predict(held_batches, steps=len(held) // 32)",
        "05: extractor.joined(", "besbes.py: base.predict_generator(",
    ],
    "E7": [
        "besbes.py: def organize_datasets(", "besbes.py: class LossHistory(Callback)",
        "besbes.py: TQDMNotebookCallback(leave_inner=True, leave_outer=True)",
        "05: flow_from_directory(", "05: class LossHistory(", '05: articles.get("besbes-progress")',
        "05: plots.plot_model(", "minicnn.datasets:dogs_vs_cats",
    ],
}  # fmt: skip
INDEX = [
    *(f"A{n}" for n in range(1, 7)),
    *(f"B{n}" for n in range(1, 11)),
    *("C1", "C2"),
    *(f"D{n}" for n in range(1, 7)),
    *(f"E{n}" for n in range(1, 8)),
]


def code_of(file: str) -> str:
    """The code of a script of `tests/compat`, or of the notebook whose number it is."""
    if file.endswith(".py"):
        return (ROOT / "tests" / "compat" / "scripts" / file).read_text(encoding="utf-8")
    (path,) = (ROOT / "notebooks").glob(f"{file}-*.ipynb")
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


def is_there(answer: str) -> bool:
    where, _, what = answer.partition(":")
    if where.startswith("minicnn"):
        return hasattr(importlib.import_module(where), what)
    return what.strip() in code_of(where)


@pytest.mark.parametrize("row", INDEX)
def test_no_row_of_the_index_is_missing(row):
    assert NETWORKS.get(row) or DEMONSTRATIONS.get(row)
    for name in NETWORKS.get(row, []):
        assert row in articles.get(name).index
    for answer in DEMONSTRATIONS.get(row, []):
        assert is_there(answer), f"{row}: {answer}"


def test_the_registry_claims_no_other_rows():
    claimed = {(row, name) for name in names() for row in articles.get(name).index}
    assert claimed == {(row, name) for row, those in NETWORKS.items() for name in those}
    assert set(NETWORKS) | set(DEMONSTRATIONS) == set(INDEX)


@pytest.mark.parametrize("answer", ["minicnn.plots:nothing", "02: no such code", "pets.py: no such code"])
def test_an_answer_that_is_not_there_would_show(answer):
    assert not is_there(answer)
