# Run `make demo` or `make test` first. `make` alone lists all targets.

PYTHON ?= python3  # Python for the environment; 3.10 or newer
VENV ?= .venv
DEMO_RUNS ?= runs/demo
DEMO_ARGS ?=
TEST_ARGS ?=
TEST_JOBS ?= auto  # number of processes that run the tests

# Remove the blanks before the comments above, which make keeps.
override PYTHON := $(strip $(PYTHON))
override TEST_JOBS := $(strip $(TEST_JOBS))
# Tests of one file run in one process, as they share costly fixtures. Each process has one thread.
PARALLEL := -n $(TEST_JOBS) --dist loadfile
BIN := $(VENV)/bin
# Else every process that tests start compiles what it imports, and pytest rewrites all tests again.
unexport PYTHONDONTWRITEBYTECODE
INSTALLED := $(VENV)/.gcseg-installed
INSTALLED_DEV := $(VENV)/.gcseg-installed-dev

.DEFAULT_GOAL := help
.PHONY: help demo install install-dev test test-slow test-frameworks test-clusters test-timm official coverage lint format types tables clean

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
	echo "  $$run/metrics.csv               training curves"; \
	echo "  $$run/checkpoints/best.ckpt     the best weights"

install: $(INSTALLED)  ## make the environment for training

install-dev: $(INSTALLED_DEV)  ## make the environment for development

test: $(INSTALLED_DEV)  ## run the tests, except the slow ones
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python -m pytest $(PARALLEL) $(TEST_ARGS)

test-slow: $(INSTALLED_DEV)  ## run the slow tests
	$(BIN)/python -m pytest -m slow $(TEST_ARGS)

test-frameworks: $(INSTALLED_DEV)  ## compare with PaddleSeg and mmsegmentation, see CONTRIBUTING
	$(BIN)/python -m pytest -m frameworks $(TEST_ARGS)

test-clusters: $(INSTALLED_DEV)  ## run sweeps through SLURM, Ray and optuna on this machine, see CONTRIBUTING
	$(BIN)/python -m pytest -m clusters $(TEST_ARGS)

test-timm:  ## backbones of timm, in an environment with timm and torchvision, see CONTRIBUTING
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(or $(GCSEG_TIMM_PYTHON),$(BIN)/python) -m pytest -m timm $(TEST_ARGS)

# --no-deps: one of its dependencies, `typing`, hides Python's module if PYTHONPATH names it.
official: $(INSTALLED_DEV)  ## install the official Cityscapes evaluation, for tests that compare with it
	$(BIN)/python -m pip install --no-deps -c constraints.txt cityscapesscripts pyquaternion

coverage: $(INSTALLED_DEV)  ## run the tests and fail if they cover less than 90 % of gcseg
	$(BIN)/python -m pytest $(PARALLEL) --cov=gcseg --cov-report=term-missing:skip-covered --cov-fail-under=90 $(TEST_ARGS)

lint: $(INSTALLED_DEV)  ## check the code's style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(INSTALLED_DEV)  ## fix formatting and simple style errors
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(INSTALLED_DEV)  ## check the types
	$(BIN)/mypy

tables: $(INSTALLED)  ## update the tables of results in docs
	$(BIN)/python -m gcseg.tables --update docs/results.md
	$(BIN)/python -m gcseg.tables --update docs/published.md

clean:  ## remove the environment and caches; runs and data stay
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache build dist

# A venv gets pip last. Without Debian's python3-venv, a venv is left without pip.
$(BIN)/pip:
	$(PYTHON) -m venv $(VENV)

# The environment is updated when these files change.
$(INSTALLED): pyproject.toml constraints.txt | $(BIN)/pip
	$(BIN)/python -m pip install -c constraints.txt -e .
	@touch $@

$(INSTALLED_DEV): pyproject.toml constraints.txt | $(BIN)/pip
	$(BIN)/python -m pip install -c constraints.txt -e '.[dev]'
	@touch $@ $(INSTALLED)
