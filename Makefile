# Every target does its own set-up. PYTHON picks the interpreter that makes the environment.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: quickstart test docs lint bench clean

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "skdeepclust needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; try make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	# The pinned torch goes in first, so that nothing else chooses a build of it.
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[plot,test]' ruff
	@touch $(STAMP)

quickstart: $(STAMP)  ## cluster scikit-learn's digits and draw the result
	$(BIN)/python examples/plot_01_quickstart.py

test: $(STAMP)  ## the whole test suite
	$(BIN)/ruff check .
	$(BIN)/python -m pytest

docs: $(STAMP)  ## guide, API and gallery as HTML in docs/_build/html; every warning is an error
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html
	@echo "Open docs/_build/html/index.html"

bench: $(STAMP)  ## digits and vectors, five seeds (minutes), and the tables of all results there are
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python -m benchmarks.stat_dec digits
	$(BIN)/python -m benchmarks.neural_mixture_em vectors
	$(BIN)/python -m benchmarks.stat_dec table
	$(BIN)/python -m benchmarks.neural_mixture_em table
	$(BIN)/python -m benchmarks.dvc table
	$(BIN)/python -m benchmarks.precise_feature_gan table
	$(BIN)/python -m benchmarks.readme

lint: $(STAMP)  ## style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean:
	rm -rf $(VENV) build docs/_build docs/api docs/auto_examples *.egg-info .pytest_cache .ruff_cache
