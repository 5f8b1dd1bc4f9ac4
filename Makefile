# `make help` lists what there is. Everything is installed into this folder: .venv and local/node_modules.
.DEFAULT_GOAL := help
PYTHON_BIN := .venv/bin
# Workers as `tests/conftest.py` counts them, a file of tests to one of them: hosts and Azurite start once per file.
PARALLEL := -n auto --dist loadfile
# Where it is set, each process compiles all of our modules anew: tests start hundreds of them.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## List the targets.
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name text; do printf '  make %-8s %s\n' "$$name" "$$text"; done

.PHONY: demo
demo: ## Start the local world, send alerts through it, print what came of them; ALL=1 lists every incident.
	@local/setup.sh requirements.txt
	@$(PYTHON_BIN)/python -m local.demo $(if $(ALL),--all)

.PHONY: run
run: ## Start the local world and keep it up; HOST=func uses Azure's own host, SERVICENOW=URL a real instance.
	@local/setup.sh requirements.txt
	@$(PYTHON_BIN)/python -m local.run --host $(or $(HOST),local) --servicenow "$(SERVICENOW)"

.PHONY: setup
setup: ## Install everything, tools included.
	@local/setup.sh requirements-dev.txt

.PHONY: test
test: setup ## Run all tests.
	@$(PYTHON_BIN)/python -m pytest $(PARALLEL)

.PHONY: quick
quick: setup ## Run the fast half of the tests: no server, no process, no random examples; under ten seconds.
	@$(PYTHON_BIN)/python -m pytest -q --quick -m "not hypothesis" -p no:cov -p no:xdist

.PHONY: format
format: setup ## Format the code.
	@$(PYTHON_BIN)/ruff format .
	@$(PYTHON_BIN)/ruff check --fix-only --quiet .

.PHONY: check
check: setup ## Check format, lint, types and imports, and run all tests with coverage.
	@$(PYTHON_BIN)/ruff format --check --quiet .
	@$(PYTHON_BIN)/ruff check --quiet .
	@$(PYTHON_BIN)/mypy
	@$(PYTHON_BIN)/lint-imports --no-cache
	@$(PYTHON_BIN)/python -m pytest $(PARALLEL) --cov --cov-report=term-missing:skip-covered

.PHONY: torture
torture: setup ## Play N random histories (10000); kill the host at every call, and KILLS times at random (500).
	@$(PYTHON_BIN)/python -m proof.simulator --histories $(or $(N),10000)
	@$(PYTHON_BIN)/python -m proof.every_call
	@$(PYTHON_BIN)/python -m proof.torture --kills $(or $(KILLS),500)

.PHONY: mutants
mutants: setup ## Break the program on purpose; the simulator must object to each mutant.
	@$(PYTHON_BIN)/python -m proof.mutants

.PHONY: storm
storm: setup ## Send thousands of alerts at once and print how that went.
	@$(PYTHON_BIN)/python -m proof.storm

.PHONY: bench
bench: setup ## Measure times, counts and costs; write them into docs/performance.md.
	@$(PYTHON_BIN)/python -m bench

.PHONY: clean
clean: ## Remove what was installed and made.
	@rm -rf .venv local/node_modules .local .coverage .mypy_cache .pytest_cache .ruff_cache .hypothesis
