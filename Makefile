# Every target works on a fresh machine with Python, pip and make.
PYTHON ?= python3
BIN := .venv/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
INSTALLED := .venv/installed
STUDY = $(BIN)/python -m studies

UV ?= $(BIN)/uv
PYTHONS ?= 3.10 3.11 3.12 3.13
EXTRA ?= test
TESTS ?= tests -n auto

.PHONY: demo paper test slow check format coverage docs matrix lowest dist bench clean

demo: $(INSTALLED)  ## train PPO through a JEPA encoder; the result is in runs/ppo
	$(BIN)/python examples/train.py

paper: $(INSTALLED)  ## reproduce the experiments of arXiv 2509.12249; the result is in runs/paper
	$(STUDY) paper

test: $(INSTALLED)  ## the default test suite
	$(BIN)/python -m pytest -n auto --dist worksteal

slow: $(INSTALLED)  ## the long tests
	$(BIN)/python -m pytest -n auto --dist loadgroup -m slow

check: $(INSTALLED)  ## what continuous integration runs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(MAKE) test

format: $(INSTALLED)  ## bring the code into its form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

coverage: $(INSTALLED)  ## the default test suite, and which branches it takes; the report is in htmlcov
	$(BIN)/python -m pytest -n auto --dist worksteal --cov --cov-report term:skip-covered --cov-report html

docs: $(INSTALLED)  ## the site, read in 20 parts so that tutorials run side by side; it begins at build/site/index.html
	$(BIN)/python -m sphinx -W --keep-going --quiet -j 20 -c docs . build/site

matrix: $(PYTHONS:%=python-%) lowest  ## the tests on each Python, with the newest and the lowest versions allowed

python-%: $(filter $(BIN)/%,$(UV))
	$(UV) venv --quiet --clear --python $* .venv/matrix/$*
	$(UV) pip install --quiet --compile-bytecode --python .venv/matrix/$* --editable ".[$(EXTRA)]"
	$(UV) run --no-project --python .venv/matrix/$* python -m pytest $(TESTS)

lowest: $(filter $(BIN)/%,$(UV))  ## with deprecation warnings: what is not declared itself is new
	$(UV) venv --quiet --clear --python 3.10 .venv/matrix/lowest
	$(UV) pip install --quiet --compile-bytecode --python .venv/matrix/lowest --resolution lowest-direct --editable ".[$(EXTRA)]"
	$(UV) run --no-project --python .venv/matrix/lowest python -m pytest -W ignore::DeprecationWarning $(TESTS)

$(BIN)/uv: $(INSTALLED)

dist: $(INSTALLED)  ## a wheel and a source archive in dist, checked
	$(BIN)/python -m build --outdir dist
	$(BIN)/python -m twine check --strict dist/*

bench: $(INSTALLED)  ## a short version of all measurements, in ten minutes; docs/benchmarks.md has the long one
	$(STUDY) environment --set seconds=0.3 repetitions=5 --out runs/short/environment
	$(STUDY) overhead --set repetitions=3 --out runs/short/overhead
	$(STUDY) bisimulation --set sizes=[10000,100000] repetitions=1 limit=3 --out runs/short/bisimulation
	$(STUDY) audit_trials --set trials=3 observations=2000 checks=1 --out runs/short/audit_trials
	$(STUDY) sample_efficiency --only default-PPO-nature default-PPO-plain default-PPO-more_updates default-PPO-joint \
		--seeds 0 1 --out runs/short/sample_efficiency
	$(STUDY) other_tasks --only breakout-plain breakout-layer breakout-spr breakout-shared --seeds 0 1 --set steps=3000 \
		--out runs/short/other_tasks

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .coverage htmlcov build dist *.egg-info runs
