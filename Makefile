# A machine with Python 3.11 or newer, pip, make and git is all that these need.
#
#   make demo     install into .venv, start the example application, and show the bus at work
#   make test     the whole suite of core, plugins and examples, with branch coverage
#   make serve    the example application, on http://127.0.0.1:8000
#   make lint     ruff
#   make types    mypy --strict and pyright strict
#   make bench    measure against peers; writes benchmarks/RESULTS.md (takes a quarter of an hour)
#   make mutants  change the core's four central modules, and see whether the tests notice (takes most of an hour)
#   make pythons  the suite on every other CPython from 3.11 to 3.13 on this machine
#   make docs     the documentation as a site, in site/: no warning, no dead link, no undocumented public name
#   make release-check  build what would be released, and look at it as its users will; leaves it in dist/
#   make clean    remove what these made

.DELETE_ON_ERROR:
.PHONY: demo test serve lint types bench mutants pythons docs release-check clean

is_new_enough := -c 'import sys; sys.exit(sys.version_info < (3, 11))'
PYTHON ?= $(shell for each in python3 python3.13 python3.12 python3.11; do \
	"$$each" $(is_new_enough) 2>/dev/null && echo "$$each" && break; done)

VENV := .venv
BIN := $(VENV)/bin
PLUGINS := fastsoy-hr fastsoy-notify fastsoy-audit fastsoy-events-otel fastsoy-events-durable fastsoy-events-relay
PROJECTS := --editable '.[cli]' $(foreach plugin,$(PLUGINS),--editable plugins/$(plugin))
METADATA := pyproject.toml $(foreach plugin,$(PLUGINS),plugins/$(plugin)/pyproject.toml)

demo: $(VENV)/.example
	$(BIN)/python examples/admin/demo.py

serve: $(VENV)/.example
	cd examples/admin && ../../$(BIN)/python -m admin --port 8000

test: $(VENV)/.development
	$(BIN)/python -m pytest --cov --cov-report=term

lint: $(VENV)/.development
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/.development
	$(BIN)/mypy
	$(BIN)/basedpyright

bench: $(VENV)/.benchmark
	$(BIN)/python -m benchmarks

mutants: $(VENV)/.mutation
	$(BIN)/python -m mutation

pythons: $(VENV)/.development
	$(BIN)/nox

docs: $(VENV)/.development
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

release-check: $(VENV)/.development
	$(BIN)/python tools/release_check.py

clean:
	rm -rf $(VENV) site dist .nox .coverage* .mypy_cache .pytest_cache .ruff_cache .hypothesis examples/admin/*.sqlite3*

$(VENV)/.pip:
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11 or newer found; name one: make PYTHON=/path/to/python" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	touch $@

$(VENV)/.example: $(METADATA) $(VENV)/.pip
	$(BIN)/python -m pip install --quiet $(PROJECTS) --group example
	touch $@

$(VENV)/.benchmark: $(METADATA) $(VENV)/.pip
	$(BIN)/python -m pip install --quiet $(PROJECTS) --group benchmark
	touch $@

$(VENV)/.mutation: $(METADATA) $(VENV)/.pip
	$(BIN)/python -m pip install --quiet $(PROJECTS) --group mutation
	touch $@

$(VENV)/.development: $(METADATA) $(VENV)/.pip
	$(BIN)/python -m pip install --quiet $(PROJECTS) --group development
	touch $@
