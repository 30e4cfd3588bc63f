# The verbs of the project, for people and for CI. `make help` lists them.
# Each makes .venv from requirements/lock.txt first; all that must be there is make and python3 (3.11 or newer) with venv.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
PACKAGES := $(wildcard agents envs experiment benchmark)
SCRIPTS := train.py evaluate.py

# Small networks on CPU: more threads only wait for each other.
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help install train test lint type format clean

help: ## list these verbs
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile

install: $(INSTALLED) ## make .venv alone

$(INSTALLED): requirements/lock.txt setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed: make PYTHON=...")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --requirement requirements/lock.txt
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	touch $@

train: $(INSTALLED) ## train SPMA with a Tsallis head on noisy CartPole, then evaluate it: about a minute
	$(BIN)/python train.py --algo spma --env NoisyCartPole-v1 --reward-noise 0.5 --head tsallis:0.5 -n 50000 -P
	$(BIN)/python evaluate.py --algo spma --env NoisyCartPole-v1
	@echo 'Runs: logs/spma/   TensorBoard: $(BIN)/tensorboard --logdir logs'

test: $(INSTALLED) ## run the default tests; the slow ones: .venv/bin/python -m pytest -m slow
	$(BIN)/python -m pytest -n 2

lint: $(INSTALLED) ## check style and layout
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: $(INSTALLED) ## check types
	$(BIN)/mypy $(PACKAGES) $(SCRIPTS) tests

format: $(INSTALLED) ## repair style and layout
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove .venv and the tools' caches; logs stay
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage build *.egg-info
	find $(PACKAGES) tests -name __pycache__ -type d -prune -exec rm -rf {} +
