# Everything a newcomer runs: `make demo`, then `make test`. Needs Python 3.11 or newer, make and pip's index; nothing else.
# Paths are relative, so that a checkout in a folder with spaces works, and `make -C <checkout>` from anywhere.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BENCH_STAMP := $(VENV)/.installed-bench
WORKERS ?= 4
ROWS ?= 1000000
SECONDS ?= 60
CYCLES ?= 5
EVENTS ?= 20000
PYTEST_ARGS ?=

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore
# Tests and benchmarks start hundreds of processes: compiled modules are kept from one to the next.
unexport PYTHONDONTWRITEBYTECODE

# Prints a Python that can make the environment, or says what is missing. PYTHON=/path/to/python overrules the search.
define FIND_PYTHON
fit='import sys; sys.exit(sys.version_info < (3, 11))'
for candidate in $${PYTHON:+"$$PYTHON"} python3 python3.14 python3.13 python3.12 python3.11 python; do
    command -v "$$candidate" >/dev/null 2>&1 || continue
    "$$candidate" -c "$$fit" >/dev/null 2>&1 || continue
    if ! "$$candidate" -c 'import venv, ensurepip' >/dev/null 2>&1; then
        echo "$$candidate cannot make environments: install its venv package (Debian, Ubuntu: python3-venv)." >&2
        exit 1
    fi
    echo "$$candidate"
    exit 0
done
found=$$(python3 --version 2>/dev/null || echo "none")
echo "Syncline needs Python 3.11 or newer; found: $$found. Install one, or name it: make PYTHON=/path/to/python3.11" >&2
exit 1
endef
export FIND_PYTHON
export PYTHON

# An environment knows its own absolute path: after a checkout was moved or copied, it is made anew.
ifneq ($(shell cat $(VENV)/.place 2>/dev/null),$(shell pwd -P))
$(shell rm -f $(STAMP) $(BENCH_STAMP))
endif

.PHONY: help install demo test check lint types contracts docs lock bench-load bench-resync bench-engine bench-intake bench-api bench-intake-faults faults-intake mutants soak chaos attacks clean

help: ## show what can be made
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

install: $(STAMP) ## create the environment in .venv (fast the second time)
	@echo "The environment stands in $(VENV); the command is $(BIN)/syncline."

$(STAMP): requirements.lock pyproject.toml
	@echo "Creating the environment in $(VENV) (about a minute the first time) ..."
	@python=$$(sh -c "$$FIND_PYTHON") && { \
		[ "$$(cat $(VENV)/.place 2>/dev/null)" = "$$(pwd -P)" ] && $(BIN)/python -c 'import pip' 2>/dev/null \
		|| "$$python" -m venv --clear $(VENV); }
	@$(BIN)/python -m pip install --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@pwd -P > $(VENV)/.place
	@touch $@

demo: $(STAMP) ## migrate a sandbox Salesforce org, with progress on screen; stays up until Ctrl-C
	@exec $(BIN)/syncline demo $(DEMO_ARGS)

test: $(STAMP) ## run the whole test suite on the embedded PostgreSQL
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(PYTEST_ARGS)

check: lint types contracts docs test ## everything: linters, types, import contracts, documentation, tests

lint: $(STAMP) ## ruff: rules and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(STAMP) ## mypy, strict
	@$(BIN)/mypy

contracts: $(STAMP) ## who may import whom
	@$(BIN)/lint-imports

docs: $(STAMP) ## documentation coverage: every command, option, setting and code is documented
	@$(BIN)/python -m pytest -q tests/docs

lock: ## pin the dependencies again (needs uv)
	@command -v uv >/dev/null 2>&1 || { echo "make lock needs uv: pip install uv" >&2; exit 1; }
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --custom-compile-command 'make lock' \
		--upgrade --extra dev pyproject.toml -o requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --custom-compile-command 'make lock' \
		--constraint requirements.lock --extra dev --extra bench pyproject.toml -o requirements-bench.lock

$(BENCH_STAMP): $(STAMP) requirements-bench.lock
	@echo "Adding what the benchmark compares with ..."
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements-bench.lock
	@touch $@

bench-load: $(BENCH_STAMP) ## measure loading against COPY and dlt (ROWS=1000000)
	@$(BIN)/python -m benchmarks.load --rows $(ROWS)

bench-resync: $(STAMP) ## measure a full comparison against its changes alone (ROWS=1000000)
	@$(BIN)/python -m benchmarks.resync --rows $(ROWS)

bench-engine: $(STAMP) ## measure the two-way engine against plain upserts, its calls, and single edits (ROWS=50000)
	@$(BIN)/python -m benchmarks.engine --rows $(if $(filter file,$(origin ROWS)),50000,$(ROWS))

bench-intake: $(STAMP) ## measure the intake of webhooks against pgbench and a plain endpoint
	@$(BIN)/python -m benchmarks.intake

bench-intake-faults: $(STAMP) ## measure the intake at half load while one thing after another breaks (needs rabbitmq-server)
	@$(BIN)/python -m benchmarks.intake_latency

bench-api: $(STAMP) ## measure what reading costs at the API beside plain SELECTs (ROWS=1000000)
	@$(BIN)/python -m benchmarks.api --rows $(ROWS)

faults-intake: $(STAMP) ## post events tenfold and shuffled while a worker is killed and PostgreSQL restarted (EVENTS=20000)
	@$(BIN)/python -m benchmarks.intake_faults --events $(EVENTS)

mutants: $(STAMP) ## plant bugs in the sync engine, one at a time, and tell which nobody notices
	@$(BIN)/python -m tests.simulation.mutants $(MUTANTS)

soak: $(STAMP) ## simulate the sync engine with random seeds (SECONDS=60)
	@$(BIN)/python -m tests.simulation.soak --seconds $(SECONDS)

chaos: $(STAMP) ## kill workers and restart the database while people edit on three sides, then compare (CYCLES=5)
	@$(BIN)/python -m benchmarks.chaos --cycles $(CYCLES) $(CHAOS_ARGS)

attacks: $(STAMP) ## attack a running API and its door for webhooks: forgeries, foreign ids, bombs, smuggling; every attack has an expected answer
	@$(BIN)/python -m benchmarks.attacks

clean: ## remove the environment and caches (never data)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build *.egg-info
