# SPDX-License-Identifier: Apache-2.0
# Everything a developer or CI runs. Needs make and Python 3.11 or newer, as python3 (or PYTHON=…), nothing else.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
OLDEST := .venv-oldest
LOCK := constraints/airflow-3.3.txt
# More than cores: many tests wait for a server or a process.
PYTEST_WORKERS ?= 3

.DEFAULT_GOAL := help
.SUFFIXES:
.PHONY: help install format format-check lint types import-rules package check tests tests-oldest test matrix cells sbom mutants bench files soak crash airflow-campaign fleet-campaign demo up docs docs-serve lock clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

install: $(INSTALLED)  ## make .venv from its lock in constraints/, hashes checked

$(INSTALLED): pyproject.toml $(LOCK) scripts/install.sh
	@PYTHON="$(PYTHON)" bash scripts/install.sh $(VENV) $(LOCK)
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

# No coverage, no server, no Airflow run: what answers within two minutes on two cores.
QUICK_TESTS := tests/core tests/contract tests/pipeline tests/kit tests/test_repository.py
check: $(INSTALLED)  ## between commits, under two minutes: format, lint, types, import rules, tests of core and pipeline
	@$(MAKE) --no-print-directory -j1 format-check lint types import-rules
	@$(BIN)/pytest -q -n $(PYTEST_WORKERS) $(QUICK_TESTS)

# Each worker has an Airflow home and database of its own. loadgroup hands out test by test, except for those that
# tests/conftest.py names.
tests: $(INSTALLED)
	@$(BIN)/pytest -q -n $(PYTEST_WORKERS) --dist loadgroup --cov --cov-report term

# Airflow 2.11.0 and every other lower bound of pyproject.toml as it stands.
$(OLDEST)/.installed: pyproject.toml constraints/oldest.txt scripts/install.sh
	@bash scripts/install.sh $(OLDEST) constraints/oldest.txt
	@touch $@

# Loud, but no failure, where the machine has no Python that the oldest Airflow supports.
tests-oldest: $(INSTALLED)
	@if python=$$($(PY) scripts/interpreters.py oldest); then \
		echo "The oldest Airflow:" && $(MAKE) --no-print-directory PYTHON="$$python" $(OLDEST)/.installed && \
		$(OLDEST)/bin/pytest -q -r fE -n $(PYTEST_WORKERS) --dist loadgroup --no-pure; \
	fi

package: $(INSTALLED)  ## sdist and wheel in dist/, looked at, and used in an empty environment
	@$(PY) scripts/package.py

# One after the other even under -j: pytest's closing line on the newest Airflow is the last that is printed.
test: $(INSTALLED)  ## format, lint, types, import rules, package, tests on the oldest and the newest Airflow, coverage
	@$(MAKE) --no-print-directory -j1 format-check lint types import-rules package tests-oldest
	@$(MAKE) --no-print-directory tests

matrix: $(INSTALLED)  ## the tests on every Airflow and Python, or CELLS="3.1/3.12 oldest"; each has its output in .matrix/
	@PYTEST_ADDOPTS="-n $(PYTEST_WORKERS) --dist loadgroup $$PYTEST_ADDOPTS" $(PY) scripts/matrix.py $(CELLS)

# Their names as JSON, for a CI that runs each on a machine of its own. Needs no environment.
cells:
	@$(PYTHON) scripts/versions.py

sbom: package  ## what the wheel brings, all extras included, in CycloneDX: build/sbom.cdx.json
	@$(PY) scripts/sbom.py

soak: $(INSTALLED)  ## simulated schedules, SCHEDULES=1000000 of them from seed FIRST=0 on, with JOBS=2 processes
	@$(PY) -m tests.simulation --schedules $(or $(SCHEDULES),1000000) --first $(or $(FIRST),0) --jobs $(or $(JOBS),2)

crash: $(INSTALLED)  ## real processes, signals and networks on a real S3: TRIALS=100 from seed FIRST=0 on, JOBS=4 at once
	@$(PY) -m tests.crash --trials $(or $(TRIALS),100) --first $(or $(FIRST),0) --jobs $(or $(JOBS),4)

airflow-campaign: $(INSTALLED)  ## a real Airflow: kill, orphan, mark failed, clear, backfill; some eight minutes
	@$(PY) -m tests.airflow_campaign

fleet-campaign: $(INSTALLED)  ## many tasks on one plan on a real Airflow, EXECUTOR=local or celery: kill, stop, lose Redis; some twelve minutes
	@$(PY) -m tests.airflow_campaign.fleet --executor $(or $(EXECUTOR),local)

mutants: $(INSTALLED)  ## mutation testing of core: what no test notices, JOBS=2 at once; REPORT=1: the last run's table only
	@$(PY) scripts/mutants.py --jobs $(or $(JOBS),2) $(if $(REPORT),--report)

bench: $(INSTALLED)  ## the provider beside scripts that do less, at 0 and 300 ms; some ten minutes on a quiet machine; WRITE=1: into docs/performance.md
	@$(PY) -m benchmarks.documents $(if $(WRITE),--write)

files: $(INSTALLED)  ## preflight against Pillow, pillow-heif and pikepdf over the test files of public packages
	@$(PY) scripts/files.py

demo: $(INSTALLED)  ## an S3 server, the simulator, 60 books, a real Airflow run
	@$(PY) -m demo.run

up: $(INSTALLED)  ## the demo's services and an Airflow UI on loopback, until Ctrl-C
	@$(PY) -m demo.run --keep

# A warning is an error (mkdocs.yml), but not with --quiet. The variable stops the theme's advertisement, which is no warning.
docs: $(INSTALLED)  ## the documentation as a site in site/; a broken link fails
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

docs-serve: $(INSTALLED)  ## the same, served on loopback and built again at each change, until Ctrl-C
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve --dev-addr 127.0.0.1:$(or $(PORT),8008) --livereload

lock: $(INSTALLED)  ## write the locks in constraints/ again from pyproject.toml (UPGRADE=1: newest of everything)
	@$(PY) scripts/lock.py $(if $(UPGRADE),--upgrade)

clean:  ## remove everything that these targets made
	@rm -rf $(VENV) $(OLDEST) .matrix .demo build dist site .coverage .coverage.* htmlcov .pytest_cache .mypy_cache .ruff_cache .import_linter_cache \
		.hypothesis mutants
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
