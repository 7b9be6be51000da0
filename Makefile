# Two commands on a fresh machine with Python and make: `make demo` and `make test`. While you work:
# `make quick`, which trains and converts nothing and takes under three minutes.
PYTHON ?= python3
VENV ?= .venv
# Tests run in two processes; a machine with more cores may say `make test JOBS=8`.
JOBS ?= 2
ZOO = $(VENV)/bin/zoo

.PHONY: demo test quick lint types docs claims clean

demo: $(VENV)/installed
	$(ZOO) demo --force

test: $(VENV)/installed
	$(VENV)/bin/python -m pytest -n $(JOBS) --dist loadgroup

quick: $(VENV)/installed
	$(VENV)/bin/python -m pytest -n $(JOBS) --dist loadgroup -m quick

lint: $(VENV)/installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

types: $(VENV)/installed
	$(VENV)/bin/mypy

# The site of docs/, into build/site; a link that leads nowhere is an error (not with --quiet, which
# hides the warnings from --strict too). To write pages:
# `.venv/bin/python -m mkdocs serve`.
docs: $(VENV)/installed
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/python -m mkdocs build --strict

# Whether what the pages state is still so; `make claims ONLY=--quick` in a few minutes.
claims: $(VENV)/installed
	$(VENV)/bin/python -m benchmarks.claims $(ONLY)

$(VENV)/installed: pyproject.toml runtime/pyproject.toml data/pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade pip
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable runtime --editable data --editable '.[data,test]'
	touch $@

clean:
	rm -rf $(VENV) build dist
