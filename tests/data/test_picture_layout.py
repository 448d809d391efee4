"""What names say: class by a picture's own name or class folder, never by what lies above; parts of the data."""

from __future__ import annotations

import pytest

from minicnn.data.pictures.layout import Place, are_pets, pet, places


def pets_of(*names):
    return [pet(place) for place in places(names)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cat.46.jpg", "cat"),
        ("dog.0.jpg", "dog"),
        ("train/cat.0.jpg", "cat"),
        ("DOG_7.PNG", "dog"),
        ("cat12.jpg", "cat"),
        ("Cat (3).jpg", "cat"),
        ("dogs-1.jpg", "dog"),
        ("Cat/0.jpg", "cat"),
        ("dogs/0.jpg", "dog"),
        ("train/cats/x/7.jpg", "cat"),
        # The file's own name comes first, whatever folder it is in.
        ("cat/dog.5.jpg", "dog"),
        ("dogs/cat.5.jpg", "cat"),
        # The nearest folder, and its whole name.
        ("cats/dogs/1.jpg", "dog"),
        ("my cats/1.jpg", None),
        ("concatenated/1.jpg", None),
        ("catalogue.jpg", None),
        ("dogma.1.jpg", None),
        ("hotdog.1.jpg", None),
        ("caté.jpg", None),
        ("test/1.jpg", None),
        ("1.jpg", None),
    ],
)
def test_cat_or_dog(name, expected):
    assert pets_of(name) == [expected]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["cat.0.jpg", "dog.0.jpg"], [Place("", (), "cat.0.jpg"), Place("", (), "dog.0.jpg")]),
        (
            ["PetImages/Cat/0.jpg", "PetImages/Dog/0.jpg"],
            [Place("", ("Cat",), "0.jpg"), Place("", ("Dog",), "0.jpg")],
        ),
        (
            ["data/train/cats/0.jpg", "data/validation/dogs/0.jpg", "data/test1/1.jpg"],
            [Place("train", ("cats",), "0.jpg"), Place("validation", ("dogs",), "0.jpg"), Place("test", (), "1.jpg")],
        ),
        (["a/b/Rose/0.jpg", "a/b/tulip/x/0.jpg"], [Place("", ("Rose",), "0.jpg"), Place("", ("tulip", "x"), "0.jpg")]),
        # One class alone is a class, not a wrapping.
        (["rose/0.jpg", "rose/1.jpg"], [Place("", ("rose",), "0.jpg"), Place("", ("rose",), "1.jpg")]),
        (["Cat/a/0.jpg", "Cat/b/0.jpg"], [Place("", ("Cat", "a"), "0.jpg"), Place("", ("Cat", "b"), "0.jpg")]),
        # A file is no folder, whatever it is called.
        (["train", "x.jpg"], [Place("", (), "train"), Place("", (), "x.jpg")]),
        ([], []),
    ],
)
def test_places(names, expected):
    assert places(names) == expected


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["cat.0.jpg", "dog.0.jpg", "1.jpg"], True),
        (["train/cat.0.jpg", "train/dog.0.jpg", "test/1.jpg"], True),
        (["cats/0.jpg", "dogs/0.jpg"], True),
        (["cats/0.jpg", "dogs/0.jpg", "horses/0.jpg"], False),
        (["cats/0.jpg", "cat.1.jpg"], False),
        (["rose/0.jpg", "tulip/0.jpg"], False),
        ([], False),
    ],
)
def test_cats_and_dogs_are_recognised(names, expected):
    assert are_pets(places(names)) is expected
