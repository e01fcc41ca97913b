PYTHON ?= python3.11
PIP_FLAGS ?=
BIN := .venv/bin
export OMP_WAIT_POLICY ?= passive

PAGE := flows/viewer/built/files.json

.PHONY: setup page wheel demo gallery test lint test-slow test-services golden

setup: .venv/ready $(PAGE)

# Plain pip: the constraints file is the only source of versions.
.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install $(PIP_FLAGS) -c constraints.txt -e '.[dev]'
	touch .venv/ready

# The page of the viewer, by npm. Where npm's registry can't be reached a line says so, and all else works.
page: $(PAGE)

$(PAGE): .venv/ready flows/glossary.py $(wildcard flows/questions/*.py flows/viewer/*.py flows/viewer/answers/*.py flows/viewer/model/*.py) $(wildcard flows/viewer/web/*.json flows/viewer/web/*.mjs) $(shell find flows/viewer/web/src -type f)
	$(BIN)/python -m flows.viewer.build

# The wheel carries the built page.
wheel: setup
	test -f $(PAGE)
	rm -rf build/lib
	$(BIN)/pip wheel --no-deps -w dist .

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

# docs/gallery.md and its pictures, all of the photos that come with the installation
gallery: setup
	$(BIN)/python benchmarks/gallery.py
