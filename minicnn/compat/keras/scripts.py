"""Running a script or a notebook as if it had been started by itself."""

from __future__ import annotations

import json
import linecache
import sys
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any


class ScriptError(ValueError):
    """A file that is no script and no notebook."""


def run(path: Path, arguments: list[str]) -> dict[str, Any]:
    """Run a `.py` or `.ipynb` file as `__main__`; gives the names that it leaves.

    Args:
        path: of the file.
        arguments: what it finds in `sys.argv` after its own name.

    Raises:
        ScriptError: the file cannot be read, or a notebook is none.
        Whatever the script raises.
    """
    code = [compile_script(path)] if path.suffix != ".ipynb" else compile_notebook(path)
    main = ModuleType("__main__")
    main.__file__ = str(path)
    before = sys.argv, sys.path[0], sys.modules["__main__"]
    sys.argv, sys.path[0], sys.modules["__main__"] = [str(path), *arguments], str(path.parent.resolve()), main
    try:
        for part in code:
            exec(part, main.__dict__)  # noqa: S102 - to run a script is what this module is for
    finally:
        sys.argv, sys.path[0], sys.modules["__main__"] = before
    return main.__dict__


def compile_script(path: Path) -> CodeType:
    """The code of a script."""
    try:
        source = path.read_bytes()
    except OSError as error:
        raise ScriptError(f"{path}: cannot be read: {error.strerror}") from error
    return compile(source, str(path), "exec")


def compile_notebook(path: Path) -> list[CodeType]:
    """The code of a notebook's cells, without the lines that speak to the notebook's program (`%magic`, `!shell`)."""
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        sources = ["".join(cell["source"]) for cell in cells]
    except OSError as error:
        raise ScriptError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ScriptError(f"{path}: is no notebook of format 4: {type(error).__name__}: {error}") from error
    return [_compile_cell(source, f"{path}, code cell {number}") for number, source in enumerate(sources)]


def _compile_cell(source: str, name: str) -> CodeType:
    lines = [] if source.lstrip().startswith("%%") else [_silenced(line) for line in source.splitlines()]
    text = "\n".join(lines) + "\n"
    # So that a traceback shows the line.
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    return compile(text, name, "exec")


def _silenced(line: str) -> str:
    content = line.lstrip()
    return f"{line[: len(line) - len(content)]}pass" if content.startswith(("%", "!")) else line
