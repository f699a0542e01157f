# What a newcomer runs first: make demo, make test. `make` alone lists everything.

PYTHON ?= python3  # that the environment is made with; 3.10 or newer
VENV ?= .venv
DEMO_RUNS ?= runs/demo
DEMO_ARGS ?=
TEST_ARGS ?=
TEST_JOBS ?= auto  # processes that the tests run in

# Without the blanks before a comment.
override PYTHON := $(strip $(PYTHON))
override TEST_JOBS := $(strip $(TEST_JOBS))
# By file, as tests of one share what is costly to make; each process with one thread.
PARALLEL := -n $(TEST_JOBS) --dist loadfile
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.gcseg-installed
INSTALLED_DEV := $(VENV)/.gcseg-installed-dev

.DEFAULT_GOAL := help
.PHONY: help demo install install-dev test test-slow test-frameworks test-clusters official coverage lint format types tables clean

help:  ## list the targets
	@echo "Targets (make TARGET):"
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 17 | sed 's/^/  /'
	@echo "Variables: PYTHON=$(PYTHON) VENV=$(VENV), DEMO_ARGS and TEST_ARGS for more arguments"

demo: $(INSTALLED)  ## train on drawn street scenes, score, write pictures: minutes, no download of data
	$(BIN)/python -m gcseg.train small=demo run_root=$(DEMO_RUNS) $(DEMO_ARGS)
	@set -e; \
	results=$$(ls -t $(DEMO_RUNS)/*/results.json | head -n 1); \
	run=$${results%/results.json}; \
	echo "$(BIN)/python -m gcseg.predict checkpoint=$$run limit=8"; \
	$(BIN)/python -m gcseg.predict "checkpoint=$$run" limit=8; \
	echo; \
	echo "The demo is done. Look at:"; \
	echo "  $$run/predictions/overview.png  image, truth and prediction of eight scenes"; \
	echo "  $$run/results.json              scores, plain and with test-time augmentation"; \
	echo "  $$run/metrics.csv               the training's curves"; \
	echo "  $$run/checkpoints/best.ckpt     the weights"

install: $(INSTALLED)  ## make the environment with what training needs

install-dev: $(INSTALLED_DEV)  ## make the environment with what developing needs too

test: $(INSTALLED_DEV)  ## run the tests but the slow ones
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python -m pytest $(PARALLEL) $(TEST_ARGS)

test-slow: $(INSTALLED_DEV)  ## run the slow tests
	$(BIN)/python -m pytest -m slow $(TEST_ARGS)

test-frameworks: $(INSTALLED_DEV)  ## compare with PaddleSeg and mmsegmentation themselves, see CONTRIBUTING
	$(BIN)/python -m pytest -m frameworks $(TEST_ARGS)

test-clusters: $(INSTALLED_DEV)  ## sweeps through SLURM, Ray and optuna on this machine, see CONTRIBUTING
	$(BIN)/python -m pytest -m clusters $(TEST_ARGS)

# Alone: among what it asks for is a `typing` that hides Python's own where PYTHONPATH names it.
official: $(INSTALLED_DEV)  ## install the official Cityscapes evaluation, which some tests compare with
	$(BIN)/python -m pip install --no-deps -c constraints.txt cityscapesscripts pyquaternion

coverage: $(INSTALLED_DEV)  ## run the tests and fail if they cover less than 90 % of gcseg
	$(BIN)/python -m pytest $(PARALLEL) --cov=gcseg --cov-report=term-missing:skip-covered --cov-fail-under=90 $(TEST_ARGS)

lint: $(INSTALLED_DEV)  ## look for faults and wrong formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(INSTALLED_DEV)  ## mend formatting and simple faults
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(INSTALLED_DEV)  ## check the types
	$(BIN)/mypy

tables: $(INSTALLED)  ## bring the tables of results in docs up to date
	$(BIN)/python -m gcseg.tables --update docs/results.md

clean:  ## remove the environment and caches; runs and data stay
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache build dist

# pip is what a venv gets last, and what one made without Debian's python3-venv lacks.
$(BIN)/pip:
	$(PYTHON) -m venv $(VENV)

# The environment is brought up to date when these files change.
$(INSTALLED): pyproject.toml constraints.txt | $(BIN)/pip
	$(BIN)/python -m pip install -c constraints.txt -e .
	@touch $@

$(INSTALLED_DEV): pyproject.toml constraints.txt | $(BIN)/pip
	$(BIN)/python -m pip install -c constraints.txt -e '.[dev]'
	@touch $@ $(INSTALLED)
