# Everything runs from a virtual environment in .venv, made from hash-locked requirements on first use.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

PYTHON ?= python3
# Half as many again as there are processors: many tests wait for servers that they have started.
PYTEST_WORKERS ?= $(shell echo $$(($$(nproc 2>/dev/null || echo 2) * 3 / 2)))
BIN := .venv/bin
# Tests start some hundred processes: each would compile everything again where nothing compiled is kept.
export PYTHONDONTWRITEBYTECODE :=
STAMPS := .venv/stamps
# A Python without ensurepip (a bare Debian) makes an environment without pip; its own pip then installs into it.
PIP = $(shell test -x $(BIN)/pip && echo $(BIN)/python -m pip || echo $(PYTHON) -m pip --python $(BIN)/python)
# Quiet twice, because some packages are old enough for pip to lament at length; errors are still shown.
INSTALL = $(PIP) install --quiet --quiet --disable-pip-version-check
CODE := platform/atelier web tasks schedules sandbox tests tools $(patsubst %/,%,$(dir $(wildcard benchmarks/__main__.py chaos/__main__.py)))

.PHONY: help
help:
	@grep -hE '^[a-z]+:.* ## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.* ## (.*)/  make \1\t\2/' | expand -t 18

.PHONY: demo
demo: setup ## Start the platform, make a text, an image, a sound and a video with it, buy credits, show what it cost
	@if [ "$${DEMO_LLM:-1}" != 0 ]; then $(MAKE) --no-print-directory model; fi
	@exec $(BIN)/atelier demo

.PHONY: up
up: setup ## Run every role on this machine until Ctrl-C
	@exec $(BIN)/atelier up

.PHONY: test
test: setup-dev servers check ## Check everything, then run the tests on SQLite and on MariaDB
	$(BIN)/python -m pytest -n $(PYTEST_WORKERS) --dist worksteal --ignore tests/test_shape.py  # `check` has run it

.PHONY: check
check: setup-dev ## Lint, type-check, and check import directions, shape, transactions, spelling and deployment files
	@# One of the two type checkers takes as long as everything else together, so it runs beside it.
	@$(BIN)/basedpyright --level error & beside=$$!; status=0; $(MAKE) --no-print-directory lint || status=$$?; \
		wait $$beside || status=$$?; exit $$status

.PHONY: lint
lint: setup-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy $(CODE)
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m tools.lint_transactions
	$(BIN)/python -m pytest -q -p no:cacheprovider tests/test_shape.py
	$(BIN)/codespell
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
	$(BIN)/python -m tools.check_procfile
	$(BIN)/python -m tools.settings_page --check

.PHONY: fmt
fmt: setup-dev ## Format the code and mend what the linter can mend
	$(BIN)/ruff check --fix --quiet . || true
	$(BIN)/ruff format .

.PHONY: migrate
migrate: setup ## Bring the database that DATABASE_URL names (or the local one) to the newest schema
	@exec $(BIN)/atelier migrate

.PHONY: bench
bench: setup-dev servers ## Measure the speed against floors that only do the unavoidable
	$(BIN)/python -m benchmarks

.PHONY: proof
proof: setup-dev servers ## Run the storms: every crash test, long fuzzing, the million-row tables (this takes a while)
	$(BIN)/python -m pytest -m "" tests/crash --timeout 3600
	$(BIN)/python -m pytest -m proof --ignore tests/crash --timeout 3600
	ATELIER_TEST_EXAMPLES=10 $(BIN)/python -m pytest -m "" tests/*/test_*machine.py tests/jobs/test_turns.py \
	  tests/catalog/test_search_property.py tests/reconciliation/test_properties.py --timeout 3600
	$(BIN)/python -m benchmarks million admission fairness estimates polling

# ------------------------------------------------------------------------------------------------------- internal

.PHONY: setup setup-dev model servers lock
setup: $(STAMPS)/runtime
setup-dev: $(STAMPS)/dev

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 …")'
	@echo "Making .venv"
	@$(PYTHON) -m venv .venv >/dev/null 2>&1 || { rm -rf .venv; $(PYTHON) -m venv --without-pip .venv; }

$(STAMPS)/runtime: requirements/runtime.txt requirements/build.txt pyproject.toml | $(BIN)/python
	@echo "Installing what requirements/runtime.txt pins"
	@$(INSTALL) --require-hashes -r requirements/runtime.txt -r requirements/build.txt
	@$(INSTALL) --no-deps --no-build-isolation --editable .
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/dev: requirements/dev.txt $(STAMPS)/runtime
	@echo "Installing what requirements/dev.txt pins"
	@$(INSTALL) --require-hashes -r requirements/dev.txt
	@touch $@

$(STAMPS)/llm: requirements/llm.txt $(STAMPS)/runtime
	@echo "Installing what requirements/llm.txt pins: a language model that runs here (DEMO_LLM=0 leaves it out)"
	@$(INSTALL) --require-hashes -r requirements/llm.txt
	@touch $@

# The demo goes on without the model: a labelled outline composer takes its place.
model: setup
	@{ $(MAKE) --no-print-directory $(STAMPS)/llm && $(BIN)/atelier models fetch smollm2; } \
	  || echo "No language model on this machine; the demo goes on without it."

servers: setup-dev
	@$(BIN)/python -m tools.mariadb --fetch

lock: setup-dev
	@for lock in runtime: dev:--extra=dev llm:--extra=llm speech:--extra=speech; do \
	  $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	    $${lock#*:} pyproject.toml --output-file requirements/$${lock%%:*}.txt; \
	done
	@printf 'hatchling==1.33.0\neditables\n' | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
	  --generate-hashes --no-header --no-annotate --constraint requirements/dev.txt - --output-file requirements/build.txt
