# Each target creates what it needs: python3 (3.11 or newer), pip and make are all it takes.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint check bench gallery clean

demo: .venv/ready-demo  ## train a 3-D U-Net on a real MRI volume; results in outputs/
	$(BIN)/python examples/brain.py

test: .venv/ready-dev  ## the tests
	$(BIN)/python -m pytest

lint: .venv/ready-dev  ## layout, rules, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

check: lint test  ## all that must hold before a commit; `make check test` tests once

bench: .venv/ready-dev  ## atrous beside torch, where torch is installed in .venv
	$(BIN)/python benchmarks/run.py

gallery: .venv/ready-dev  ## the pictures of docs/gallery, drawn anew
	$(BIN)/python -m atrous explain --gallery docs/gallery

clean:
	rm -rf .venv outputs build *.egg-info

.venv/bin/python:
	$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }

# A stamp for each set of extras, so that a second run installs nothing.
.venv/ready-demo: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[demo]'
	@touch $@

.venv/ready-dev: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[demo,dev]'
	@touch $@ .venv/ready-demo
