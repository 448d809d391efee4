# Two commands: `make train` and `make test`. Each sets up its own virtual environment first. Neither does anything
# that `python -m pip install .` and `minicnn train` could not do alone, so nobody needs make.
# Every path is relative or quoted: the checkout may live under a name with spaces or letters of any alphabet.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := "$(BIN)/python" -m pip --disable-pip-version-check
JOBS ?= 2

.PHONY: help train test bench bench-gpu notebooks static unit-tests no-numba clean

help:
	@echo "make train   train the first article's network for one epoch on MNIST"
	@echo "make test    run every check: ruff, mypy, import rules, tests, doctests"
	@echo "make bench   measure every engine on the articles' networks (ARGS='--only lenet5 --rounds 3')"
	@echo "make bench-gpu  the same on a GPU, with the PyTorch, CuPy and JAX for it that PYTHON has (PYTHON=.venv/bin/python)"
	@echo "make notebooks  run every notebook from its first cell to its last, into runs/notebooks"
	@echo "make clean   remove what the other two have made"

train: $(VENV)/.installed
	@"$(BIN)/python" -m minicnn train eastmount --epochs 1

test: static no-numba unit-tests

# Installed in place, so that a change of the sources needs no second installation. Through `python -m pip`: the
# first line of the pip script itself cannot hold a path with spaces.
$(VENV)/.installed: setup.py pyproject.toml
	@test -x "$(BIN)/python" || { echo "Setting up $(VENV) (once) ..."; "$(PYTHON)" -m venv "$(VENV)"; }
	@$(PIP) install -qq --editable .
	@touch "$@"

$(VENV)/.installed-for-tests: setup.py pyproject.toml
	@test -x "$(BIN)/python" || { echo "Setting up $(VENV) (once) ..."; "$(PYTHON)" -m venv "$(VENV)"; }
	@$(PIP) install -qq --editable ".[test]"
	@touch "$(VENV)/.installed" "$@"

$(VENV)/.installed-for-bench: setup.py pyproject.toml
	@test -x "$(BIN)/python" || { echo "Setting up $(VENV) (once) ..."; "$(PYTHON)" -m venv "$(VENV)"; }
	@$(PIP) install -qq --editable ".[bench]"
	@touch "$(VENV)/.installed" "$@"

bench: $(VENV)/.installed-for-bench
	"$(BIN)/python" -m benchmarks $(ARGS)

# Which PyTorch, CuPy and JAX fit the driver is known to whoever installed them; `.[bench]` brings those for processors.
bench-gpu:
	"$(PYTHON)" -m benchmarks.gpu $(ARGS)

$(VENV)/.installed-for-notebooks: setup.py pyproject.toml
	@test -x "$(BIN)/python" || { echo "Setting up $(VENV) (once) ..."; "$(PYTHON)" -m venv "$(VENV)"; }
	@$(PIP) install -qq --editable ".[notebooks]"
	@touch "$(VENV)/.installed" "$@"

notebooks: $(VENV)/.installed-for-notebooks
	"$(BIN)/python" -m nbconvert --to notebook --execute --output-dir runs/notebooks notebooks/*.ipynb

static: $(VENV)/.installed-for-tests
	"$(BIN)/python" -m ruff check .
	"$(BIN)/python" -m mypy
	"$(BIN)/python" -c "from importlinter.cli import lint_imports_command as run; run()" --no-cache

# Models and trainings with Numba out of reach: tests/no_numba holds a module of that name that cannot be imported.
no-numba: $(VENV)/.installed-for-tests
	PYTHONPATH="$(CURDIR)/tests/no_numba" "$(BIN)/python" -m pytest -W "ignore:the 'cpu' kernels:UserWarning" \
		tests/test_without_numba.py tests/models tests/training

unit-tests: $(VENV)/.installed-for-tests
	"$(BIN)/python" -m pytest --doctest-modules minicnn tests -n $(JOBS) --dist loadfile

clean:
	rm -rf "$(VENV)" build minicnn.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
