# Two commands are all the set-up there is: `make demo` and `make test`.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
RUN := OMP_NUM_THREADS=$${OMP_NUM_THREADS:-2} $(BIN)/

.PHONY: demo test check docs bench lint clean

.venv/.core: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt torch numpy
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $@

.venv/.test: .venv/.core
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[test,pyg,bio,tensorboard,docs]"
	touch $@

demo: .venv/.core  ## train, generate, score and report on embedded data, in minutes
	$(RUN)noisefold demo --out demo

test: .venv/.test lint  ## style, types and the fast tests
	$(RUN)pytest

lint: .venv/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

check: .venv/.test lint  ## everything, slow tests too
	$(RUN)pytest -m "slow or not slow"

docs: .venv/.test  ## build the documentation; warnings are errors
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html

bench: .venv/.test  ## what is timed, as ratios within one run
	$(RUN)python benchmarks/neighbors.py
	$(RUN)python benchmarks/shapes.py

clean:
	rm -rf .venv demo runs docs/_build .mypy_cache .ruff_cache .pytest_cache
