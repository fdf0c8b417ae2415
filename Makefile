# Every target does its own set-up. PYTHON picks the interpreter that makes the environment.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

# Tests run in so many processes, one thread each.
JOBS   ?= 2

.PHONY: quickstart test test-oldest test-nightly lint bench clean

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
	$(BIN)/python -m pytest -n $(JOBS)

OLDEST := build/scikit-learn-1.6

test-oldest: $(STAMP)  ## what every estimator must do, with the oldest scikit-learn
	@test -d $(OLDEST) || $(BIN)/python -m pip install --quiet --no-deps --target $(OLDEST) 'scikit-learn==1.6.*'
	PYTHONPATH=$(OLDEST) $(BIN)/python -c 'import sklearn; print("scikit-learn", sklearn.__version__)'
	PYTHONPATH=$(OLDEST) $(BIN)/python -m pytest -n $(JOBS) tests/test_common.py

test-nightly: $(STAMP)  ## two thousand cases of test_fuzz.py
	$(BIN)/python -m pytest -n $(JOBS) tests/test_fuzz.py --hypothesis-profile=nightly

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
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache
