# Every target works on a fresh machine with Python, pip and make.
PYTHON ?= python3
BIN := .venv/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
STUDY = $(BIN)/python -m studies

UV ?= .venv/tools/bin/uv
PYTHONS ?= 3.10 3.11 3.12 3.13
EXTRA ?= test
TESTS ?= tests -n auto

.PHONY: demo paper test slow check format coverage docs matrix lowest dist bench clean

demo: .venv/with-demo  ## train PPO through a JEPA encoder, audit it, and open the report, runs/demo/report.html
	$(BIN)/python examples/demo.py

paper: .venv/with-studies  ## reproduce the experiments of arXiv 2509.12249; the result is in runs/paper
	$(STUDY) paper

test: .venv/with-test  ## the default test suite
	$(BIN)/python -m pytest -n auto --dist worksteal

slow: .venv/with-slow  ## the long tests
	$(BIN)/python -m pytest -n auto --dist loadgroup -m slow

check: .venv/with-dev  ## what continuous integration runs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(MAKE) test

format: .venv/with-dev  ## bring the code into its form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

coverage: .venv/with-dev  ## the default test suite, and which branches it takes; the report is in htmlcov
	$(BIN)/python -m pytest -n auto --dist worksteal --cov --cov-report term:skip-covered --cov-report html

docs: .venv/with-docs  ## the site, read in 20 parts so that tutorials run side by side; it begins at build/site/index.html
	$(BIN)/python -m sphinx -W --keep-going --quiet -j 20 -c docs . build/site

matrix: $(PYTHONS:%=python-%) lowest  ## the tests on each Python, with the newest and the lowest versions allowed

python-%: $(filter .venv/%,$(UV))
	$(UV) venv --quiet --clear --python $* .venv/matrix/$*
	$(UV) pip install --quiet --compile-bytecode --python .venv/matrix/$* --editable ".[$(EXTRA)]"
	$(UV) run --no-project --python .venv/matrix/$* python -m pytest $(TESTS)

lowest: $(filter .venv/%,$(UV))  ## with deprecation warnings: what is not declared itself is new
	$(UV) venv --quiet --clear --python 3.10 .venv/matrix/lowest
	$(UV) pip install --quiet --compile-bytecode --python .venv/matrix/lowest --resolution lowest-direct --editable ".[$(EXTRA)]"
	$(UV) run --no-project --python .venv/matrix/lowest python -m pytest -W ignore::DeprecationWarning $(TESTS)

.venv/tools/bin/uv: .venv/with-dev

dist: .venv/with-dev  ## a wheel and a source archive in dist, checked
	$(BIN)/python -m build --outdir dist
	$(BIN)/python -m twine check --strict dist/*

bench: .venv/with-test  ## a short version of all measurements, in ten minutes; docs/benchmarks.md has the long one
	$(STUDY) environment --set seconds=0.3 repetitions=5 --out runs/short/environment
	$(STUDY) overhead --set repetitions=3 --out runs/short/overhead
	$(STUDY) bisimulation --set sizes=[10000,100000] repetitions=1 limit=3 --out runs/short/bisimulation
	$(STUDY) audit_trials --set trials=3 observations=2000 checks=1 --out runs/short/audit_trials
	$(STUDY) sample_efficiency --only default-PPO-nature default-PPO-plain default-PPO-more_updates default-PPO-joint \
		--seeds 0 1 --out runs/short/sample_efficiency
	$(STUDY) other_tasks --only breakout-plain breakout-layer breakout-spr breakout-shared --seeds 0 1 --set steps=3000 \
		--out runs/short/other_tasks

.venv/with-%: pyproject.toml constraints.txt scripts/install.sh  ## each target installs the extra that it needs
	@sh scripts/install.sh $(PYTHON) $*
	@touch $@

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .coverage htmlcov build dist *.egg-info runs
