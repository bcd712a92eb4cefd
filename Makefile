# Every target sets itself up in .venv first: nothing is needed but make and Python 3.11 or newer.
# PYTHON=/path/to/python chooses another Python than python3.

PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready
CACHES := .benchmarks .hypothesis .mypy_cache .pytest_cache .ruff_cache build

export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: help run start test lint bench clean

help: ## Say what there is to do
	@echo "make TARGET, where TARGET is one of"
	@sed -n 's/^\([a-z]*\):.*## /  \1\t/p' Makefile

run: $(READY) ## Start the default cluster, play a stretch of the sample day, go on until Ctrl-C
	@python -m bench.tour

start: $(READY) ## Start the default cluster alone, until Ctrl-C
	@honcho start || [ $$? -eq 130 ]  # 130: Ctrl-C

test: lint ## Lint, then all tests, with those on real processes
	@echo "Running all tests"
	@python -m pytest

lint: $(READY) ## Check style, formatting and types
	@echo "Checking style, formatting and types"
	@ruff check --quiet
	@ruff format --check --quiet || { echo "Not formatted; 'ruff format' mends it:" >&2; ruff format --check; exit 1; }
	@mypy

bench: $(READY) ## Measure; prints tables with ratios, writes var/bench.json
	@echo "Running the benches (about twelve minutes; best on a machine with nothing else to do)"
	@mkdir -p var
	@python -m pytest bench --benchmark-only --benchmark-quiet --benchmark-json=var/bench.json --timeout=900
	@python -m bench.report var/bench.json

clean: ## Remove .venv and all caches; the databases under var/ stay
	@echo "Removing $(VENV) and caches; the databases under var/ stay"
	@rm -rf $(VENV) $(CACHES) *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version 2>&1)." \
	    "Another one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) comes without venv, which is needed (on Debian and Ubuntu: apt install python3-venv)" >&2; exit 1; }
	@echo "Setting up $(VENV) with $$($(PYTHON) --version) and the packages that setup.cfg names (once, about a minute)"
	@$(VENV)/bin/python -c '' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	@$(VENV)/bin/python -m pip install -qq --disable-pip-version-check --editable '.[dev]'
	@touch $@
