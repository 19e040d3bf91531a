# `make run` and `make test` do all the set-up they need. STUDY, SEED and PYTHON may be given.
PYTHON ?= python3
VENV ?= .venv
STUDY ?= studies/organism
SEED ?= 0
READY := $(VENV)/.ready
DOCS := $(VENV)-docs
PYTEST := -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder --durations=15
LOCK := pip compile pyproject.toml --all-extras --no-annotate --quiet --custom-compile-command "make lock"

.PHONY: run test test-slow test-newest test-oldest lock lint types docs format clean

run: $(READY)
	$(VENV)/bin/mechcot run $(STUDY) --seed $(SEED)

test: $(READY)
	$(VENV)/bin/python $(PYTEST) -m "not slow"

test-slow: $(READY)
	$(VENV)/bin/python $(PYTEST) -m slow

lint: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

types: $(READY)
	$(VENV)/bin/mypy

# The site into site/: what is linked and not there, or documented wrongly, is an error. The reference is read off the
# sources, so that mechcot itself need not be installed.
docs: $(DOCS)/.ready
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --quiet --strict

format: $(READY)
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

# After a change of a range in pyproject.toml: the newest versions inside all ranges, for Linux and macOS.
lock: $(READY)
	$(VENV)/bin/uv $(LOCK) --universal --python-version 3.11 --upgrade --output-file lock.txt

# All but the slow tests in a fresh environment with the newest versions inside the ranges, and with their lower ends.
test-newest: $(READY)
	$(VENV)/bin/uv $(LOCK) --python-version 3.11 --upgrade --output-file $(VENV)/newest.txt
	$(MAKE) VENV=$(VENV)-newest LOCKED=$(VENV)/newest.txt tried

test-oldest: $(READY)
	$(VENV)/bin/uv $(LOCK) --python-version 3.11 --resolution lowest-direct --output-file $(VENV)/oldest.txt
	$(MAKE) VENV=$(VENV)-oldest LOCKED=$(VENV)/oldest.txt tried

.PHONY: tried
tried:
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint $(LOCKED) --editable '.[all,dev]'
	$(VENV)/bin/python $(PYTEST) -m "not slow"

clean:
	rm -rf $(VENV) $(VENV)-newest $(VENV)-oldest $(DOCS) site .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(READY): pyproject.toml lock.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "mechcot needs Python 3.11 or later; this is " + sys.version.split()[0] + ". Name one: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	@echo "Installing mechcot with everything it can use into $(VENV): about 2 GB, a few minutes."
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint lock.txt --editable '.[all,dev]'
	@touch $@

$(DOCS)/.ready: pyproject.toml lock.txt
	$(PYTHON) -m venv $(DOCS)
	$(PYTHON) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["docs"], sep="\n")' > $(DOCS)/needed.txt
	$(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check --constraint lock.txt --requirement $(DOCS)/needed.txt
	@touch $@
