PYTHON ?= python3
BIN := .venv/bin
UV_VERSION := 0.13.9
INSTALLED := .venv/.installed

FUZZ_SECONDS ?= 600
KILL_PAIRS ?= 3

.PHONY: setup demo test check lint real chaos bench fuzz lock hooks histories

setup: $(INSTALLED)

$(INSTALLED): requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e .
	@touch $@

demo: setup
	$(BIN)/barograph demo

real: setup
	$(BIN)/barograph real
	$(BIN)/pytest -q tests/activities/archives

test: setup
	$(BIN)/pytest -q -n 2 --dist loadfile --no-loadscope-reorder --ignore tests/fuzz
	$(BIN)/pytest -q -n 2 --dist loadfile tests/fuzz

chaos: setup
	BAROGRAPH_LONG=1 KILL_PAIRS=$(KILL_PAIRS) $(BIN)/pytest -q tests/chaos tests/attacks \
	  tests/workflows/test_many_rounds.py tests/workflows/test_load.py tests/workflows/test_audits_of_a_run.py \
	  tests/activities/test_black_holes.py

bench: setup
	$(BIN)/python -m benchmarks $(BENCH_OPTIONS)

fuzz: setup
	FUZZ_SECONDS=$(FUZZ_SECONDS) $(BIN)/pytest -q -n 2 --timeout 0 tests/fuzz

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/ty check
	$(BIN)/lint-imports
	$(BIN)/codespell

check: lint test

lock: setup
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 \
	  --extra embedded --extra fast --extra postgres --group test --group check pyproject.toml -o requirements.lock

histories: setup
	$(BIN)/python -m tests.replay.record

hooks:
	git config core.hooksPath .githooks
