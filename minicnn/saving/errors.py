"""What is wrong with a file of a model or of weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class ModelFileError(ValueError):
    """A file is truncated, damaged, of another format, or asks for more than a file of its kind may.

    The message is one line that names the file.
    """


@contextmanager
def refusing(source: str, damaged: str = "damaged") -> Iterator[None]:
    """Turn whatever goes wrong with what a file says into one `ModelFileError` that begins with `source`.

    A file is not trusted: where something in it is of the wrong type, out of range or missing, Python says so in many
    ways, and the caller is to see one.
    """
    try:
        yield
    except ModelFileError as error:
        if str(error).startswith(source):
            raise
        raise ModelFileError(f"{source}: {error}") from error
    except ValueError as error:
        raise ModelFileError(f"{source}: {first_line(error)}") from error
    except (LookupError, TypeError, AttributeError, ArithmeticError, NotImplementedError, RuntimeError) as error:
        # RecursionError is a RuntimeError.
        raise ModelFileError(f"{source}: {damaged}: {type(error).__name__}: {first_line(error)}") from error
    except MemoryError as error:
        raise ModelFileError(f"{source}: asks for more memory than there is") from error


def first_line(error: BaseException) -> str:
    """Give the first line of an error's message, at most 500 characters of it."""
    lines = str(error).splitlines() or [""]
    return lines[0] if len(lines[0]) <= 500 else lines[0][:500] + "..."
