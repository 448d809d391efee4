"""What code that an article printed needs corrected before any Keras can run it."""

from __future__ import annotations

from typing import NamedTuple


class Correction(NamedTuple):
    """A slip in published code.

    Attributes:
        printed: what stands there.
        happens: what comes of it.
        correction: what to write, or to do, instead.
    """

    printed: str
    happens: str
    correction: str


#: Of A. Besbes' article on cats and dogs (2017) and its notebook, in their order: first what stops the code, then what
#: only makes it do something else. The scripts of the other articles run as they are printed.
STOPS = (
    Correction("np.Float32", "AttributeError: NumPy never had that name", "np.float32"),
    Correction("shutil.rmtree('./data/')", "FileNotFoundError where ./data/ is not there yet", "make ./data/ first"),
    Correction(
        "fitted_model.history",
        "NameError: the article prints no fit at all",
        "fitted_model = model.fit_generator(train_generator, steps_per_epoch=20000 // 32, epochs=50, "
        "validation_data=validation_generator, validation_steps=5000 // 32, callbacks=[...], verbose=0)",
    ),
    Correction("leave_inners=, leave_outers=", "TypeError: no such arguments", "leave_inner=, leave_outer="),
    Correction("model.save('./models/model4.h5')", "an error where ./models/ is not there", "make ./models/ first"),
    Correction("np.save(open('./features/...', 'wb'), ...)", "an error where it is not there", "make ./features/"),
)
DIFFERS = (
    Correction("a matrix of 8 rows and 9 columns, / 64", "blurs more to the sides, and brightens", "8 rows, 8 columns"),
    Correction("if 'cat' in t", 'a "cat" in the path to them makes every dog a cat', "os.path.basename(t)"),
    Correction("labels from half the count", "wrong where the classes are not equally large", "generator.classes"),
    Correction("shear_range=0.2, patience=2", "radians, and a third epoch, until Keras 2.0.8", "--keras-version 2.0.8"),
)


def lines() -> list[str]:
    """The corrections, a line each.

    >>> print(lines()[0])
    np.Float32: AttributeError: NumPy never had that name. Instead: np.float32
    """
    return [f"{c.printed}: {c.happens}. Instead: {c.correction}" for c in (*STOPS, *DIFFERS)]
