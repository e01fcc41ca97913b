PYTHON ?= python3.11
PIP_FLAGS ?=
BIN := .venv/bin
export OMP_WAIT_POLICY ?= passive

.PHONY: setup demo test lint test-slow test-services golden

setup: .venv/ready

# Plain pip: the constraints file is the only source of versions.
.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install $(PIP_FLAGS) -c constraints.txt -e '.[dev]'
	touch .venv/ready

test: setup lint
	$(BIN)/pytest

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test-slow: setup
	$(BIN)/pytest -m slow

golden: setup
	$(BIN)/python tests/integration/test_golden.py

demo: setup
	$(BIN)/python -m flows.demo
