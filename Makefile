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

# Two processes with one thread each: what is tested is small, and waits more than it computes.
test: setup lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test-slow: setup
	$(BIN)/pytest -m slow

# Against a real PostgreSQL and Redis: apt-get install postgresql redis-server
test-services: setup
	$(BIN)/pytest -m services tests/services

golden: setup
	$(BIN)/python tests/integration/test_golden.py

demo: setup
	$(BIN)/python -m flows.demo
