# Every target does its own set-up. PYTHON picks the interpreter that makes the environment.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

# Tests run in so many processes, one thread each.
JOBS   ?= 2

.PHONY: quickstart test test-oldest test-nightly docs linkcheck lint bench clean

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "skdeepclust needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; try make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	# The pinned torch goes in first, so that nothing else chooses a build of it.
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[plot,test]' ruff
	@touch $(STAMP)

quickstart: $(STAMP)  ## cluster scikit-learn's digits and draw the result
	$(BIN)/python examples/plot_01_quickstart.py

test: $(STAMP) test-oldest  ## style, the whole suite, and scikit-learn's checks with its oldest version
	$(BIN)/ruff check .
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal

OLDEST := build/scikit-learn-1.6

test-oldest: $(STAMP)  ## what every estimator must do, of the two quickest, with the oldest scikit-learn
	@test -d $(OLDEST) || $(BIN)/python -m pip install --quiet --no-deps --target $(OLDEST) 'scikit-learn==1.6.*'
	PYTHONPATH=$(OLDEST) $(BIN)/python -c 'import sklearn; print("scikit-learn", sklearn.__version__)'
	PYTHONPATH=$(OLDEST) $(BIN)/python -m pytest -n $(JOBS) --dist worksteal tests/test_common.py -k "StatDEC or NeuralMixtureEM"

test-nightly: $(STAMP)  ## two thousand cases of test_fuzz.py
	$(BIN)/python -m pytest -n $(JOBS) tests/test_fuzz.py --hypothesis-profile=nightly

docs: $(STAMP)  ## guide, API and gallery as HTML in docs/_build/html; every warning is an error
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html
	@echo "Open docs/_build/html/index.html"

linkcheck: docs  ## whether the links that lead out of the docs still do; needs a network
	$(BIN)/python -m sphinx -q -D plot_gallery=0 -b linkcheck docs docs/_build/linkcheck

bench: $(STAMP)  ## our estimators and their peers on small data, measured here in five to ten minutes
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python -m benchmarks

lint: $(STAMP)  ## style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean:
	rm -rf $(VENV) build docs/_build docs/api docs/auto_examples *.egg-info .pytest_cache .ruff_cache
