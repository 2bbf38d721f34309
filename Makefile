# `make demo` and `make test` are all a newcomer needs; each sets up what it uses. Needs Python 3.11 and make.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
ENGINES_READY := $(VENV)/.engines-ready
PACKAGES := cli settings sample_data ingestion orchestration serving bench

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint types sql-lint sql-lint-marts sql-lint-others unit test-engines format lock docs bench screenshots soak soak-files soak-marts slim-ci clean

help:  ## say what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

setup: $(READY) profiles.yml  ## install into .venv and make profiles.yml; nothing global
	@mkdir -p "$${TILLHOUSE_HOME:-var}"

$(READY): requirements.lock pyproject.toml
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "error: Python 3.11 or newer is needed; name one with: make PYTHON=/path/to/python3.11"; exit 3; }
	@echo "setting up $(VENV) (a minute or two, once)"
	@"$(PYTHON)" -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

profiles.yml: profiles.example.yml
	@test -e $@ || cp profiles.example.yml $@
	@touch $@

demo: setup  ## generate a sample company, load it, build, test and publish its marts
	@$(BIN)/tillhouse demo

test: setup  ## linters, types and tests; CI runs test-engines too
	@$(MAKE) --no-print-directory --jobs 3 lint types sql-lint
	@$(MAKE) --no-print-directory unit

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

# The dbt templater opens a warehouse while it compiles: give it an empty one of its own. In two halves for two cores;
# sqlfluff's own processes leave locks of dbt behind, and Python warns of them.
sql-lint: sql-lint-marts sql-lint-others

sql-lint-marts: SQL := models/marts
sql-lint-others: SQL := $(filter-out models/marts/,$(wildcard models/*/)) snapshots tests/dbt
sql-lint-marts sql-lint-others: setup
	@scratch=$$(mktemp -d) && TILLHOUSE_HOME=$$scratch DBT_TARGET_PATH=$$scratch $(BIN)/sqlfluff lint \
		--processes 1 --disable-progress-bar $(SQL); status=$$?; rm -rf "$$scratch"; exit $$status

IN_TWO := -n 2 --dist loadgroup --no-loadscope-reorder

# Tests that share what they make go to one process; tests/python/conftest.py groups and orders them.
unit: setup
	$(BIN)/pytest $(IN_TWO) -m "not minutes" --cov --cov-report=term:skip-covered

# Spark is large and needs Java, so it is no part of the set-up; what it brings goes into the same .venv.
$(ENGINES_READY): $(READY) requirements-engines.lock
	@echo "adding Spark to $(VENV) (a minute or two, once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-engines.lock
	@touch $@

test-engines: setup $(ENGINES_READY)  ## what takes minutes: Spark (Java 17), Postgres, S3, killed runs, a browser (Chromium)
	$(BIN)/pytest $(IN_TWO) -m minutes --no-cov
	$(BIN)/pytest --no-cov tests/engines

format: setup  ## format Python and SQL
	$(BIN)/ruff check --fix . ; $(BIN)/ruff format .
	$(BIN)/sqlfluff fix --disable-progress-bar models snapshots tests/dbt

docs: setup  ## write dbt's documentation of the models into target/ (dbt docs serve shows it)
	$(BIN)/dbt docs generate

bench: setup  ## measure; ORDERS=1000000 by default, see bench/README.md
	$(BIN)/python -m bench --orders $${ORDERS:-1000000}

screenshots: setup  ## take the pictures of the dashboards in docs/images; needs a published demo and Chromium
	$(BIN)/python -m bench.screenshots

soak: soak-files soak-marts  ## both of the following, with what was never drawn before; SEED=<n> repeats one

soak-files: setup  ## deliver FILES mutated files (5000): none may crash a run or lose a row without a word; SEED=<n>
	$(BIN)/python -m tests.python.fuzz.soak --files $${FILES:-5000} $${SEED:+--seed $$SEED}

soak-marts: setup  ## hold incremental marts to rebuilds over N drawn sequences (300); SEED=<n>, TARGET=postgres
	$(BIN)/python -m tests.python.property.soak --examples $${N:-300} --target $${TARGET:-duckdb} $${SEED:+--seed $$SEED}

slim-ci: setup  ## build and test only what changed against STATE=<folder with a manifest.json>
	@test -n "$(STATE)" || { echo "error: say which state to compare with: make slim-ci STATE=<folder>"; exit 2; }
	TILLHOUSE_SCHEMA_PREFIX=ci_ $(BIN)/dbt build --select state:modified+ --defer --favor-state --state "$(STATE)"

lock:  ## raise versions on purpose: resolve pyproject.toml anew (needs uv)
	uv pip compile pyproject.toml --extra dev --universal --generate-hashes --no-emit-index-url -o requirements.lock
	uv pip compile pyproject.toml --extra spark --universal --generate-hashes --no-emit-index-url \
		-c requirements.lock -o requirements-engines.lock

clean:  ## remove what set-up and runs made, except TILLHOUSE_HOME
	rm -rf $(VENV) profiles.yml .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .coverage.* logs target *.egg-info
