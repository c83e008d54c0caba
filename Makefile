# SPDX-License-Identifier: Apache-2.0
# Everything a developer or CI runs. Needs make and Python 3.11 or newer, as python3 (or PYTHON=…), nothing else.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PYTEST_WORKERS ?= 2

.DEFAULT_GOAL := help
.SUFFIXES:
.PHONY: real-time help install format format-check lint types import-rules tests test mutants soak crash airflow-campaign demo up lock clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

install: $(INSTALLED)  ## make .venv from constraints.txt, hashes checked

$(INSTALLED): pyproject.toml constraints.txt scripts/install.sh
	@PYTHON="$(PYTHON)" bash scripts/install.sh $(VENV)
	@touch $@

format: $(INSTALLED)  ## write the format and the lint fixes that are safe
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

format-check: $(INSTALLED)
	@$(BIN)/ruff format --check .

lint: $(INSTALLED)
	@$(BIN)/ruff check .

types: $(INSTALLED)
	@$(BIN)/mypy

import-rules: $(INSTALLED)
	@$(BIN)/lint-imports --no-logo

# Tests that share one Airflow database run in one worker (loadgroup); see tests/conftest.py.
tests: $(INSTALLED)
	@$(BIN)/pytest -q -n $(PYTEST_WORKERS) --dist loadgroup --cov --cov-report term

# One after the other even under -j: pytest's closing line is the last that is printed.
test: $(INSTALLED)  ## format, lint, types, import rules, tests with coverage
	@$(MAKE) --no-print-directory -j1 format-check lint types import-rules
	@$(MAKE) --no-print-directory tests

soak: $(INSTALLED)  ## simulated schedules, SCHEDULES=1000000 of them from seed FIRST=0 on, with JOBS=2 processes
	@$(PY) -m tests.simulation --schedules $(or $(SCHEDULES),1000000) --first $(or $(FIRST),0) --jobs $(or $(JOBS),2)

crash: $(INSTALLED)  ## real processes, signals and networks on a real S3: TRIALS=100 from seed FIRST=0 on, JOBS=4 at once
	@$(PY) -m tests.crash --trials $(or $(TRIALS),100) --first $(or $(FIRST),0) --jobs $(or $(JOBS),4)

airflow-campaign: $(INSTALLED)  ## a real Airflow: kill, orphan, mark failed, clear, backfill; some eight minutes
	@$(PY) -m tests.airflow_campaign

mutants: $(INSTALLED)  ## mutation testing of core: what no test notices, JOBS=2 at once; REPORT=1: the last run's table only
	@$(PY) scripts/mutants.py --jobs $(or $(JOBS),2) $(if $(REPORT),--report)

real-time: $(INSTALLED)  ## four processes on one Redis by the wall clock, on a quiet machine
	@$(BIN)/pytest -q -m real_time tests

demo: $(INSTALLED)  ## an S3 server, the simulator, 60 books, a real Airflow run
	@$(PY) demo/run.py

up: $(INSTALLED)  ## the demo's services and an Airflow UI on loopback, until Ctrl-C
	@$(PY) demo/run.py --keep

lock: $(INSTALLED)  ## write constraints.txt again from pyproject.toml (UPGRADE=1: newest of everything)
	@$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-emit-find-links --no-sources --custom-compile-command "make lock" \
		$(if $(UPGRADE),--upgrade) --quiet --output-file constraints.txt

clean:  ## remove everything that these targets made
	@rm -rf $(VENV) .demo build dist .coverage .coverage.* htmlcov .pytest_cache .mypy_cache .ruff_cache .import_linter_cache \
		.hypothesis mutants
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
