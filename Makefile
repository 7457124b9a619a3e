# Two commands do everything on a machine with Python 3.11+ and make:
#   make demo    the main job on bundled pictures, and where its report is
#   make test    every test, with every extra
# A third, make check, runs the linters and the type checker; make docs builds the documentation into
# build/docs; make bench runs the benchmarks in their short form (make bench BENCH=--full for the long
# one), with their numbers as JSON in benchmarks/results/; make campaign gives the program malformed
# inputs, kills, full disks and two commands at once, in under an hour (CAMPAIGN=--short: a minute).

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test check docs bench campaign clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | head -8

demo: $(VENV)/installed
	$(BIN)/hashprobe demo

# Two workers with one thread each beat one worker with two.
test: $(VENV)/installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

check: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict

# Strict: a broken link, a missing page or a warning fails the build (not with --quiet: it hides them).
docs: $(VENV)/installed-docs
	$(BIN)/python docs/tools/command_line.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "built build/docs/index.html"

bench: $(VENV)/installed-dev
	$(BIN)/pip install --quiet --editable '.[bench]'
	for name in overhead attack_engine video measures search encode interval_coverage; do \
		$(BIN)/python benchmarks/$$name.py $(BENCH) --json benchmarks/results/$$name.json || exit 1; \
	done

# Every campaign, with its counts as JSON in build/campaigns/; it fails if a goal is missed.
campaign: $(VENV)/installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python campaigns $(CAMPAIGN) --json build/campaigns

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis

# pip is the last thing that venv puts in place: where it is, the environment is whole.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "hashprobe needs Python 3.11 or newer: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# Stamps: the installation is redone when pyproject.toml changes.
$(VENV)/installed: pyproject.toml | $(BIN)/pip
	@echo "installing hashprobe into $(VENV); PyTorch is large, the first time takes minutes"
	$(BIN)/pip install --quiet --editable .
	@touch $@

$(VENV)/installed-dev: pyproject.toml | $(BIN)/pip
	@echo "installing hashprobe and its tools into $(VENV); the first time takes minutes"
	$(BIN)/pip install --quiet --editable '.[lite,dev]'
	@touch $(VENV)/installed $@

$(VENV)/installed-docs: $(VENV)/installed-dev
	$(BIN)/pip install --quiet --editable '.[docs]'
	@touch $@
