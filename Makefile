# `make help` says what there is. On a fresh machine with Python and make: `make demo`, `make test`.
PYTHON ?= python3
VENV ?= .venv
# Tests run in two processes; a machine with more cores may say `make test JOBS=8`.
JOBS ?= 2
ZOO = $(VENV)/bin/zoo

.PHONY: help demo test quick lint types docs claims lowest licences audit clean

help: ## Say what there is to make
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "%-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/installed ## Train, export and verify a small model, and draw what it predicts
	$(ZOO) demo --force

test: $(VENV)/installed ## Run every test, in JOBS processes
	$(VENV)/bin/python -m pytest -n $(JOBS) --dist loadgroup

quick: $(VENV)/installed ## Run what trains, converts and builds nothing: under three minutes
	$(VENV)/bin/python -m pytest -n $(JOBS) --dist loadgroup -m quick

lint: $(VENV)/installed ## Check style
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

types: $(VENV)/installed ## Check types
	$(VENV)/bin/mypy

# A link that leads nowhere is an error (not with --quiet, which hides the warnings from --strict).
# To write pages: `.venv/bin/python -m mkdocs serve`.
docs: $(VENV)/installed ## Build the site into build/site
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/python -m mkdocs build --strict

claims: $(VENV)/installed ## Run what every figure of the pages comes from; ONLY=--quick in minutes
	$(VENV)/bin/python -m benchmarks.claims $(ONLY)

# What pip resolves to are the newest; uv can do the opposite.
lowest: ## Install the lowest versions that are allowed in a place of their own, and run the demo
	$(PYTHON) -m venv build/lowest
	build/lowest/bin/python -m pip install --quiet uv
	build/lowest/bin/uv pip install --quiet --python build/lowest/bin/python --resolution lowest-direct ./runtime ./data '.[data]'
	cd build/lowest && bin/zoo demo --force

# Under these, what we publish could not be used with it under our own licence.
GPL = GPL-2.0-only;GPL-2.0-or-later;GPL-3.0-only;GPL-3.0-or-later;AGPL-3.0-only;AGPL-3.0-or-later;GNU General Public License v2 (GPLv2);GNU General Public License v3 (GPLv3);GNU General Public License v3 or later (GPLv3+);GNU Affero General Public License v3

# In a place of its own: what audits is no part of what is audited.
licences: $(VENV)/installed ## List the licences of all that is installed with us; none is the GPL
	$(PYTHON) -m venv build/audit
	build/audit/bin/python -m pip install --quiet pip-licenses
	build/audit/bin/pip-licenses --python $(VENV)/bin/python --order license --fail-on "$(GPL)"

audit: licences ## List known vulnerabilities too, and write what is installed to build/sbom.json
	build/audit/bin/python -m pip install --quiet pip-audit
	build/audit/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip --strict
	build/audit/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip --format cyclonedx-json --output build/sbom.json

$(VENV)/installed: pyproject.toml runtime/pyproject.toml data/pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade pip
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[data,test]' --editable runtime --editable data
	touch $@

clean: ## Remove the virtual environment and what was built
	rm -rf $(VENV) build dist
