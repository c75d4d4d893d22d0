# Thin on purpose: each line calls one tool, and the tools are configured in pyproject.toml.
# make up | make test | make check | make bench; `make help` lists all.

.DEFAULT_GOAL := help
.PHONY: help setup up test test-tools check check-lock format bench docs fuzz lock clean

# Tests start Python a thousand times: without bytecode each start takes three times as long (docs/adr/0030).
unexport PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
STAMP := .venv/.setup-stamp

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo '  Options: make up CHECK=30s ARGS="--seed 7"; make test ARGS="-k mqtt"'

setup: $(STAMP) ## make .venv with .venv/bin/onemec in it (quick when nothing changed)
	@:

$(STAMP): pyproject.toml uv.lock requirements.lock .ci/setup
	@.ci/setup
	@touch $@

up: setup ## start the whole stack with its live view; CHECK=30s runs without a terminal and verifies
	@$(BIN)/onemec up $(if $(CHECK),--check $(CHECK)) $(ARGS)

test: setup test-tools ## install what the tests need, then run all of them (ARGS="-n 0": one by one)
	@$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder --max-worker-restart 0 $(ARGS)

test-tools:
	@.ci/tools mosquitto mosquitto_rr coap-client coap-client-openssl openssl curl jq sqlite3 chromium postgres fusermount3

check: setup ## lint, format, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=. $(BIN)/lint-imports --no-cache

format: setup ## let ruff lay out the code and mend what it can
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

bench: setup ## measure a CSE against its targets; make bench ARGS="--quick --only http-create-c32"
	@$(BIN)/onemec bench $(ARGS)

docs: setup ## make docs/reference, docs/capabilities.json and docs/conformance.md from the code
	@$(BIN)/onemec reference docs/reference
	@$(BIN)/onemec types --capabilities > docs/capabilities.json
	@$(BIN)/python -m tests.conformance > docs/conformance.md

fuzz: setup ## fuzz everything that reads bytes of strangers; make fuzz SECONDS=3600 ARGS="coap_datagram"
	@$(BIN)/python -m fuzz --seconds $(or $(SECONDS),60) $(ARGS)

lock: setup ## resolve uv.lock (newer versions: ARGS=--upgrade), and requirements.lock with hashes from it
	$(BIN)/uv lock $(ARGS)
	$(BIN)/uv export --quiet --frozen --no-emit-project --all-groups --format requirements-txt -o requirements.lock

check-lock: setup ## do pyproject.toml, uv.lock and requirements.lock agree?
	$(BIN)/uv lock --check
	$(BIN)/uv export --quiet --frozen --no-emit-project --all-groups --no-header --format requirements-txt | diff -I '^#' requirements.lock -

clean: ## remove caches and builds (.venv stays)
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find cse mec_adapter devices onemec tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
