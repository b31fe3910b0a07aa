# Every target is safe to repeat, and what CI runs. PYTHON picks the interpreter that .venv is made with (3.11 or newer).
PYTHON ?= python3
UBL ?=
COUNT ?= 10000000
ROUNDS ?= 20
MINUTES ?= 90
EXAMPLES ?= 20
SEED ?= 1

BIN := .venv/bin
READY := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help setup demo test check bench contract load fuzz faults planted serve clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

setup: $(READY) ## make .venv and install the locked dependencies

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Counterfoil needs Python 3.11 or newer; say which with make PYTHON=...")'
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(READY)

demo: $(READY) ## run the main job: fill an account (UBL=folder of invoices), back it up, restore it
	$(BIN)/counterfoil demo $(if $(UBL),--ubl "$(UBL)")

test: $(READY) ## run all tests, on the embedded PostgreSQL or on COUNTERFOIL_DATABASE_URL
	$(BIN)/python -m pytest -n 2 $(ARGS)

check: $(READY) ## lint, format, types and import directions; changes nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY) ## measure against pg_dump, pg_restore and the stock eventsourcing library, and what each check costs
	$(BIN)/python -m bench

load: $(READY) ## 16 clients on 50 accounts, with and without backups and restores beside them; look for every write
	$(BIN)/python -m bench.load

fuzz: $(READY) ## tamper with archives, lines and UBL, COUNT inputs (ten million), and print what the readers made of them
	$(BIN)/python -m tests.fuzz --accidents --count $(COUNT)

faults: $(READY) ## let every operation fail at each of its points, for MINUTES at most; figures into docs/reliability.md
	$(BIN)/python -m tests.faults.sweep --minutes $(MINUTES) --write docs/reliability.md

planted: $(READY) ## plant known bugs one after another, and see that a test finds each; figures into docs/reliability.md
	$(BIN)/python -m tests.planted --write docs/reliability.md

races: $(READY) ## let processes race on an account, and a plain model follow any order of work, ROUNDS times the tests' share
	RACES=$(ROUNDS) $(BIN)/python -m pytest -n 2 tests/faults/test_races.py tests/integration/test_any_order.py

contract: $(READY) ## hold the service against its OpenAPI document with EXAMPLES (20) for each operation, from SEED
	CONTRACT_EXAMPLES=$(EXAMPLES) CONTRACT_SEED=$(SEED) $(BIN)/python -m pytest -s tests/contract

serve: $(READY) ## answer HTTP on 127.0.0.1:8017, or on COUNTERFOIL_HOST and COUNTERFOIL_PORT
	$(BIN)/counterfoil serve

clean: ## remove .venv and what the tools left behind; no data
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
