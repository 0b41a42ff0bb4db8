# Two commands on a fresh machine with Python 3.11+ and make: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# Several test processes share the cores: one thread each.
export OMP_NUM_THREADS ?= 1
export MPLBACKEND ?= Agg

.PHONY: demo test lint types doctest check clean

$(VENV)/base: constraints.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	# torch first and alone: a later request for "any torch" then installs nothing more.
	$(PIP) "$$(grep '^torch==' constraints.txt)"
	$(PIP) --editable '.[video]'
	touch $@

$(VENV)/dev: $(VENV)/base
	$(PIP) --editable '.[dev]'
	touch $@

# The demo runs alone, so it may use every core.
demo: $(VENV)/base
	env -u OMP_NUM_THREADS $(BIN)/sfumato demo --out sfumato-demo

test: $(VENV)/dev
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

lint: $(VENV)/dev
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks

types: $(VENV)/dev
	$(BIN)/mypy

doctest: $(VENV)/dev
	$(BIN)/python -m pytest --doctest-modules src/sfumato

check: test lint types doctest

clean:
	rm -rf $(VENV) sfumato-demo build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
