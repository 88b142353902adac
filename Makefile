# The one door to the project. A fresh clone needs Python 3.11 or newer and make, nothing else.

PYTHON ?= python3
ARGS ?=
WORKERS ?= 3  # processes that test at the same time: most of it is waiting
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: help setup page demo check test sync bench lock docs clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "  demo, test and bench pass ARGS on: make test ARGS='tests/unit -x'"

setup: .venv/ready  ## make .venv with everything that is needed (the others do this by themselves)

# Everything but the project, exactly as locked. --clear: what the lock no longer names is gone.
.venv/locked: constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Spillgate needs Python 3.11 or newer, but $(PYTHON) is $$($(PYTHON) --version 2>&1)." \
	       "Name another: make PYTHON=python3.12 ..." >&2; exit 1; }
	@echo "Setting up .venv (once, under a minute on a fast line) ..."
	@$(PYTHON) -m venv --clear .venv
	@$(PIP) install --require-hashes --requirement constraints.txt
	@touch $@

# pip check: a dependency added to pyproject.toml and not to the lock is told here.
.venv/ready: .venv/locked pyproject.toml
	@$(PIP) install --no-build-isolation --no-deps --editable .
	@$(PIP) check
	@touch $@

# Node comes with the locked packages, never from the system. Quick where the page is there already.
page: .venv/ready  ## build the dashboard's page anew, if its sources have changed (the others do this by themselves)
	@$(BIN)/python hatch_build.py

demo: page  ## watch a 25 MB server survive a flood
	@$(BIN)/spillgate demo $(ARGS)

check: .venv/ready  ## lint, format, types, direction of imports, generated code, the page's sources
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports --no-logo
	$(BIN)/python scripts/unasync.py --check
	$(BIN)/python hatch_build.py check

test: page  ## all tests, on real servers
	$(BIN)/python -m pytest --numprocesses=$(WORKERS) --dist=loadfile --no-loadscope-reorder $(ARGS)

sync: .venv/ready  ## write cache/_sync anew from cache/_async
	$(BIN)/python scripts/unasync.py

bench: page  ## what Spillgate reaches beside the stock policies
	$(BIN)/python -m bench $(ARGS)

docs: .venv/ready  ## the documentation in build/site: references written anew, every link checked
	$(BIN)/python scripts/docs_reference.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "Open build/site/index.html"

lock: .venv/locked  ## write constraints.txt anew from pyproject.toml, with the newest versions
	@$(PIP) install uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --upgrade --generate-hashes --no-header \
	  --all-extras --group dev --output-file constraints.txt pyproject.toml
	@# what the container installs, out of the same
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --constraints constraints.txt --extra web --extra alerts --extra otlp \
	  --output-file deploy/requirements/run.txt pyproject.toml
	printf 'hatchling\nnodejs-wheel-binaries\n' | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
	  --generate-hashes --no-header --no-annotate --constraints constraints.txt \
	  --output-file deploy/requirements/build.txt -

clean:  ## remove .venv and everything that was generated
	rm -rf .venv build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	rm -rf dashboard/node_modules src/spillgate/web/static
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
