"""What the articles have wrong, and where each slip is put right: in a notebook, a network's notes, a script.

The list is of errors and disagreements in the five articles, and between an article and its author's own code; places
are "notebook: words" (01 to 05), "network: words" of its notes, or a script of `tests/compat`.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from minicnn import articles
from minicnn.compat import keras

ROOT = Path(__file__).resolve().parent.parent.parent
PLACES = {
    "landscape pictures are squeezed into 125 rows and 94 columns": ["01: PIL's `resize` wants the *width* first"],
    "pixels are not scaled, so that sigmoids saturate": [
        "01: feeds pixels of 0 to 255 as they are", "strika-conv24: Pixels of 0..255",
    ],
    "squared errors above 0.25 are worse than a constant": [
        "01: beat the first, and lose against the last", "strika-conv24: Worse than the constant 0.5",
    ],
    "precision is called accuracy": ["01: It is *precision*", "strika-conv48: precision at the threshold 0.9"],
    "learning rates of text and notebook differ": [
        "01: It says 1e-5, the notebook has 1e-3", "strika-dense: The text says a learning rate of 1e-5",
    ],
    "losses of text and notebook differ": [
        "01: in the notebook only this one was", "strika-conv24: the text has the squared error",
    ],
    "a loss of 0.75 is the cross-entropy, not a squared error": [
        "01: As the mean squared error, of which the\ntext speaks everywhere else, it is not possible",
        "strika-final: the cross-entropy",
    ],
    "a file of 200 MB is not the network's": ["01: they fit the dense network before it"],
    "a picture stands beside another one's probability": ["01: always the answer for number 124"],
    "sizes are counted when there is only one left": ["01: only one left to count"],
    "the network that is called bigger has fewer weights": ["01: called bigger", "01: It has fewer weights"],
    "32 million weights are a product where a sum belongs": [
        "02: a product where a sum belongs", "fashion-dense: the product of the layers' widths",
    ],
    "fifteen weights leave the biases out": ["02: Each kernel has a bias too"],
    "a test result may be another network's": [
        "02: may be yet another network's", "fashion-depth-max: perhaps of another network",
    ],
    "pixels are divided by 255 twice": ["02: divided by 255 *twice*", "fashion-softmax: divided by 255 twice"],
    "a cross-entropy is that of two classes": ["02: is the *sum* for two right classes"],
    "the largest channel is called max pooling": ["02: which the article takes for its max pooling"],
    "a table's best and last row do not fit what is said of both": ["02: Either reading contradicts one of the two"],
    "channels first are read as channels last": [
        "03: Keras 2 expects\nchannels last", "eastmount-as-run: what Keras 2 makes of its script",
    ],
    "one epoch in the text, six in the script": ["eastmount: The text trains for one epoch"],
    '"batch" where an epoch is meant': ['03: says "batch" it means an epoch'],
    "rows and columns of a kernel are swapped in words": ["03: `nb_row` the kernel's width"],
    "two signs are wrong in a product": ["04: it has two signs wrong"],
    "validation pictures are not scaled": ["04: validation pictures were not scaled", "khuyen: measured on 0..255"],
    "the test set is validated on": ["04: the article validates on the test set", "khuyen: validates on the test set"],
    "468 steps leave pictures out": ["04: 468 whole ones and one of 96"],
    "98.88 % is not the training accuracy": ['04: its 98.88 % "on train and validation"'],
    "1,572 GB are 1.57": ["05: the article says 1,572", "besbes-dense-count: 1,572 GB are 1.57 GB"],
    "the shape and the count of the dense layer have slips": ["05: (255, 255, 3)", "05: 196,698,000"],
    "an 8x8 matrix is printed with nine columns": ["05: the article prints eight rows of *nine* numbers"],
    "patience meant one epoch more in Keras 2.0.8": [
        "05: a patience\nof 2 meant three epochs", "besbes: patience 2 ends at the third epoch",
    ],
    "shear was in radians in Keras 2.0.8": ["05: meant 0.2 radians", "besbes: shear in radians"],
    "58,920 weights are those of LeNet-5's dense layers": ["05: counts LeNet-5's dense layers only"],
    "a path with cat in it makes a dog a cat": ['05: has "cat" anywhere in its *path*'],
    "labels are made from assumed class counts": ["05: a first half of zeros, a second of ones"],
    "4,992 pictures are validated on, not 5,000": [
        "05: the last eight are never looked at", "besbes-vgg16: validates on 4,992 pictures",
    ],
    "VGG16's mean is not subtracted": [
        "05: less the mean of each colour", "besbes-vgg16: blue, green and red less their mean",
    ],
    "fifteen epochs of the head over-fit": ["05: its validation loss is lowest after four"],
    "Sobel's first kernel answers to changes from left to right": ['05: not, as the article has it, to changes "in'],
    "names of edge filters are the other way round": ["01: The usual names are the other way round"],
    "1 is a cat in one article and a dog elsewhere": ["01: 1 means cat and 0 dog", "besbes: 1 = dog"],
    "more epochs do not prevent over-fitting": ['05: as the article says: once the validation loss turns'],
    "pooling forgives only shifts that keep the maximum in its window": ["05: forgives a shift only as long as"],
    "three guesses cost 0.5, a third and 0.25": ["01: Always saying 0 costs 0.5"],
    "published code stops at names that are not there": ["besbes.py: np.Float32", "besbes.py: fitted_model"],
    "augmentation is for training pictures only": ["05: prose says both are, its code does not"],
}  # fmt: skip


def words_of(where: str) -> str:
    """The words of a notebook, a network's notes, or a script."""
    if where.endswith(".py"):
        return (ROOT / "tests" / "compat" / "scripts" / where).read_text(encoding="utf-8")
    if where.isdigit():
        (path,) = (ROOT / "notebooks").glob(f"{where}-*.ipynb")
        return "\n".join("".join(cell["source"]) for cell in json.loads(path.read_text(encoding="utf-8"))["cells"])
    article = articles.get(where)
    notes = [article.note, *(r.note for r in article.recipes.values()), *(f.note for f in article.figures)]
    return "\n".join(notes)


@pytest.mark.parametrize("error", PLACES)
def test_each_error_is_shown_corrected(error):
    for place in PLACES[error]:
        where, _, words = place.partition(": ")
        assert " ".join(words.split()) in " ".join(words_of(where).split()), place


def test_recipes_of_cats_and_dogs_say_which_is_which():
    pets = [articles.get(name) for name in articles.names() if articles.get(name).dataset == "dogs-vs-cats"]
    for article in pets:
        assert article.positive_class in ("cat", "dog"), article.name


def test_what_published_scripts_need_is_listed_for_those_who_run_them():
    for word in ("np.Float32", "fitted_model", "leave_inners", "./data/"):
        assert word in (keras.__doc__ or "")
