# Everything a contributor does, one word each. `make demo` needs Python 3.11 or later and nothing
# else; the lab extension needs Node.js 20 or later.

PYTHON ?= python3
VENV ?= .venv
TESTS ?= tests
# Tiers of their own.
APART := $(foreach tier,conformance browser notebooks torch spark stack,--ignore tests/$(tier))
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
export OMP_NUM_THREADS ?= 1

.PHONY: demo lab test test-python test-conformance test-torch test-spark test-stack bench lint types notebooks conformance lock clean help

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

demo: $(VENV)/.demo  ## train on real flights in a notebook, and see what was recorded
	@$(BIN)/python notebooks/demo.py

lab: $(VENV)/.demo  ## JupyterLab on the tutorials
	$(BIN)/jupyter lab notebooks

test: $(VENV)/.test node_modules/.installed lint types  ## every test that most people need
	npm run --silent lint:check
	PATH="$(abspath $(BIN)):$$PATH" npm run --silent build
	npm test --silent
	$(BIN)/jupyter labextension list 2>&1 | grep -E "feast-nb .*enabled.*OK"
	$(BIN)/jupyter server extension list 2>&1 | grep -E "feast_nb .*OK"
	$(BIN)/python -m pytest tests -n 2 --dist loadgroup $(APART)
	$(BIN)/python -m pytest tests/notebooks
	$(BIN)/python -m pytest tests/browser

test-python: $(VENV)/.test  ## the quick Python tests, for another version: PYTHON=python3.13 VENV=.venv313
	$(BIN)/python -m pytest $(TESTS) -n 2 --dist loadgroup -m "not slow" $(APART)

test-conformance: $(VENV)/.test  ## what Feast's own integration does, and what is right instead
	$(BIN)/python -m pytest tests/conformance -n 2 --dist loadgroup

test-torch: $(VENV)/.test  ## PyTorch and Keras models, with the CPU build of PyTorch
	$(PIP) "torch==2.13.0" keras
	$(BIN)/python -m pytest tests/torch

test-spark: $(VENV)/.test  ## SQL and Spark entity frames on Spark in local mode; needs Java 17
	$(PIP) "pyspark==4.3.0" boto3
	$(BIN)/python -m pytest tests/spark

test-stack: $(VENV)/.test  ## sources in an object store, on a server that speaks S3
	$(PIP) "moto[server,s3]" s3fs
	$(BIN)/python -m pytest tests/stack

conformance: $(VENV)/.test  ## Feast alone and with feast_nb, row by row: writes docs/conformance.md
	$(BIN)/python -m tests.conformance.table

bench: $(VENV)/.test  ## the benchmarks: ratios within one run
	$(BIN)/python -m tests.bench

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.test
	$(BIN)/mypy

notebooks: $(VENV)/.test  ## run the tutorials and keep their outputs
	$(BIN)/python notebooks/demo.py --refresh

lock: $(VENV)/.test  ## write down the versions that are installed
	$(BIN)/python -m pip freeze --exclude-editable --exclude feast-nb | grep -vE '^(-e|nvidia)' > requirements.lock

clean:  ## remove what was built, and the environment
	rm -rf $(VENV) node_modules build dist labextension/lib feast_nb/labextension feast_nb/static notebooks/out notebooks/*/data

# Without npm the package installs without its lab extension; magics and outputs need none.
NO_NPM := $(if $(shell command -v npm),,SKIP_JUPYTER_BUILDER=1)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "feast_nb needs Python 3.11 or later; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade "pip>=25.1"

$(VENV)/.demo: $(VENV)/bin/python pyproject.toml package.json requirements.lock
	@echo "installing into $(VENV): one or two minutes, once"
	@mkdir -p feast_nb/labextension
	$(NO_NPM) $(PIP) --constraint requirements.lock --group notebooks --editable .
	@touch $@

$(VENV)/.test: $(VENV)/.demo
	$(PIP) --constraint requirements.lock --group test
	@touch $@

node_modules/.installed: package-lock.json
	npm ci --silent
	@touch $@
