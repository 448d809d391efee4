"""Names to classes: forgiving to spell, strict about what files may name."""

from __future__ import annotations

import pytest

from minicnn.errors import nearest_names, unknown_name
from minicnn.registry import Configurable, Registry


class Box(Configurable):
    def __init__(self, width=1, height=2):
        self.width, self.height = width, height


def double(x):
    return 2 * x


@pytest.fixture
def shapes():
    registry = Registry("shape")
    registry.register("carton")(Box)
    registry.register()(double)
    return registry


@pytest.mark.parametrize("name", ["Box", "box", "BOX", "carton", "car_ton", "Car-Ton"])
def test_spellings(shapes, name):
    assert type(shapes.get(name)) is Box
    assert name in shapes


def test_every_form_of_identifier(shapes):
    box = Box(5)
    assert shapes.get(box) is box
    assert type(shapes.get(Box)) is Box
    assert shapes.get("double") is double
    assert shapes.get(double) is double
    assert shapes.get(None) is None
    again = shapes.get(shapes.serialize(box))
    assert (again.width, again.height) == (5, 2)
    assert shapes.get(shapes.serialize(double)) is double
    assert shapes.serialize(None) is None


def test_custom_objects_hold_for_one_call(shapes):
    class Sphere(Configurable):
        pass

    description = {"class_name": "Sphere", "config": {}}
    assert type(shapes.get(description, {"Sphere": Sphere})) is Sphere
    with pytest.raises(ValueError, match="unknown shape 'Sphere'"):
        shapes.get(description)
    with pytest.raises(ValueError, match="shape 'Sphere' is not registered, so no file can name it"):
        shapes.serialize(Sphere())


def test_functions_of_ones_own_are_called_by_name(shapes):
    def blob():
        return None

    def box():
        return None

    assert shapes.serialize(blob) == "blob"
    assert shapes.get("blob", {"blob": blob}) is blob
    with pytest.raises(ValueError, match="shape 'box' is not registered"):
        shapes.serialize(box)
    with pytest.raises(ValueError, match="shape '<lambda>' is not registered"):
        shapes.serialize(lambda: None)


@pytest.mark.parametrize(
    ("identifier", "error", "message"),
    [
        ("bx", ValueError, "unknown shape 'bx'; did you mean 'Box'"),
        ("zzz", ValueError, "unknown shape 'zzz'; expected one of: Box, carton, double"),
        (3, TypeError, "shape: expected a name, an object, a class or a dictionary .*, got 3 of type int"),
        ({"config": {}}, ValueError, "shape: expected a dictionary with class_name"),
        ({"class_name": "Box", "config": [1]}, ValueError, "shape: expected a dictionary with class_name"),
        ({"class_name": "double", "config": {"x": 1}}, ValueError, "shape 'double' is a function and takes no config"),
        (
            {"class_name": "Box", "config": {"depth": 1}},
            TypeError,
            "shape 'Box': .*unexpected keyword argument 'depth'",
        ),
        ({"class_name": "os.system", "config": {}}, ValueError, "unknown shape 'os.system'"),
    ],
)
def test_what_is_refused(shapes, identifier, error, message):
    with pytest.raises(error, match=message):
        shapes.get(identifier)


def test_a_name_belongs_to_one_class(shapes):
    with pytest.raises(ValueError, match="shape 'box' is already registered"):
        shapes.add(double, "box")
    shapes.add(Box, "box")


def test_nearest_names():
    assert nearest_names("MaxPoling2D", ["MaxPooling2D", "AveragePooling2D", "Dense"])[0] == "MaxPooling2D"
    assert unknown_name("layer", "Dens", ["Dense"]) == "unknown layer 'Dens'; did you mean 'Dense'?"
