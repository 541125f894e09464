# Sixfold. `make` alone prints this help. Needs Python 3.11 or newer, make and git.
.DEFAULT_GOAL := help
.PHONY: help run demo demo-bad install install-dev test lint format types layers unit bench bench-retrieval alone docs lock proto clean chaos

help: ## Print this help
	@echo "Sixfold: models behind one door, on this machine or on a cluster."
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' Makefile
	@echo
	@echo "  SIXFOLD_HOME=.sixfold  data, secrets and logs    SIXFOLD_PORT=8080  the gateway's port"
	@echo "  SIXFOLD_DATA=          folder of real data for the demo"
	@echo "  PYTHON=python3         the interpreter to use    After make install: .venv/bin/sixfold --help"

run: install ## Install, start everything here, and say how to talk to it (Ctrl-C stops)
	@.venv/bin/sixfold up

demo: install ## Go once round the circle: ask, correct, train, measure, release, ask again (under 12 minutes)
	@.venv/bin/sixfold demo

demo-bad: install ## The same with spoiled labels: the gate must refuse, and says why
	@.venv/bin/sixfold demo --bad

install: ## Build .venv with everything that `make run` needs
	@./scripts/bootstrap.sh

install-dev:
	@./scripts/bootstrap.sh --dev

test: install-dev ## Install, lint, check types and layers, run every test
	@.venv/bin/python scripts/checks.py

lint: install-dev ## Check style and formatting
	@.venv/bin/python scripts/checks.py lint

format: install-dev ## Write the formatting that `make lint` wants
	@.venv/bin/ruff check --fix --quiet . ; .venv/bin/ruff format --quiet .

types: install-dev ## Check types, strictly
	@.venv/bin/python scripts/checks.py types

layers: install-dev ## Prove who imports whom
	@.venv/bin/python scripts/checks.py layers

alone: install-dev ## Install each member by itself and import all of it
	@.venv/bin/python scripts/checks.py alone

unit: install-dev ## Run the quick tests beside each member
	@.venv/bin/python scripts/checks.py unit

chaos: install-dev ## Kill gateway, workers, jobs, service and broker a hundred times, and print what came of it
	@.venv/bin/pytest -q tests/chaos/chaos_jobs.py

bench: install-dev ## Measure beside peers, and keep the table in docs/benchmarks.md
	@./benchmarks/run.sh

bench-retrieval: install-dev ## Measure search beside peers, with SIXFOLD_DATA naming the folder of judged collections
	@./benchmarks/run.sh retrieval

docs: install-dev ## Write docs/settings.md from the code
	@.venv/bin/python scripts/settings_page.py

lock: install-dev ## Resolve constraints.txt anew
	@./scripts/lock.sh

proto: install-dev ## Generate Python from the contracts
	@./scripts/gen_proto.sh

clean: ## Remove .venv and caches; data under .sixfold stays
	@rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
