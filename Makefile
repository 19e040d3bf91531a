# `make run` and `make test` do all the set-up they need. STUDY, SEED and PYTHON may be given.
PYTHON ?= python3
VENV ?= .venv
STUDY ?= studies/organism
SEED ?= 0
READY := $(VENV)/.ready

.PHONY: run test lint types format clean

run: $(READY)
	$(VENV)/bin/mechcot run $(STUDY) --seed $(SEED)

test: $(READY)
	$(VENV)/bin/python -m pytest -n auto --maxprocesses 4 --dist loadfile

lint: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

types: $(READY)
	$(VENV)/bin/mypy

format: $(READY)
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "mechcot needs Python 3.11 or later; this is " + sys.version.split()[0] + ". Name one: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	@echo "Installing mechcot with everything it can use into $(VENV): about 2 GB, a few minutes."
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[all,dev]'
	@touch $@
