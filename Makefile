# Everything runs in a virtual environment of its own; nothing has to be installed first but Python 3.11 or newer.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
KERNEL = $(shell find sluiceway -name '*.py[x]' -o -name '*.px[di]')

.PHONY: quickstart check format test test-durability fuzz bench bench-privacy bench-sinks docs clean

quickstart: $(VENV)/.base        ## start the example, send telemetry through it, show it arriving
	$(BIN)/python examples/quickstart.py

check: $(VENV)/.test             ## formatting, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: $(VENV)/.test              ## all tests, with coverage (at least 95 %)
	$(BIN)/pytest -n auto --maxprocesses 4 --cov --cov-report=term:skip-covered --cov-fail-under=95

test-durability: $(VENV)/.test   ## kills, power cuts, damages and faults against the queue on disk; about ten minutes
	$(BIN)/python -m tests.durability $(ATTEMPTS)

fuzz: $(VENV)/.test              ## hostile bytes against every decoder; SECONDS_EACH=600 for longer
	$(BIN)/python -m tests.otlp.fuzz $(or $(SECONDS_EACH),60)

bench: $(VENV)/.bench            ## side by side with Rotel; about twenty minutes
	$(BIN)/python -m benchmarks $(SCENARIOS)

bench-privacy: $(VENV)/.base     ## precision and recall of the detectors, on a corpus made for it
	$(BIN)/python -m benchmarks.privacy $(PRIVACY)

bench-sinks: $(VENV)/.test        ## rows a second into PostgreSQL, beside a prepared COPY of the same rows
	$(BIN)/pip install -qq --disable-pip-version-check --editable '.[bench]'
	$(BIN)/python -m benchmarks.sinks $(SINKS)

docs: $(VENV)/.test              ## render docs/components from the modules
	$(BIN)/python -m docs.render

clean:
	rm -rf $(VENV) build *.egg-info $(shell find sluiceway -name "*.so" -o -name "*.c")

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Sluiceway needs Python 3.11 or newer; say which with PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.base: $(VENV)/bin/python pyproject.toml setup.py $(KERNEL)
	@echo "Installing Sluiceway into $(VENV); its kernel is compiled, which takes a minute or more."
	$(BIN)/pip install -qq --disable-pip-version-check --editable .
	touch $@

$(VENV)/.test: $(VENV)/bin/python pyproject.toml setup.py $(KERNEL)
	@echo "Installing Sluiceway and what its tests need into $(VENV); the kernel is compiled, which takes minutes."
	$(BIN)/pip install -qq --disable-pip-version-check --editable '.[test,check]'
	touch $(VENV)/.base $@

$(VENV)/.bench: $(VENV)/.base
	$(BIN)/pip install -qq --disable-pip-version-check --editable '.[bench]'
	touch $@
