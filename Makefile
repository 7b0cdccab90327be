# `make sweep` and `make test` are the two to know. Every target makes .venv once; a second run installs nothing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export HF_HUB_OFFLINE ?= 1
ARGS ?=

FIGURES := fig1_examples fig2_tradeoff fig3_convergence fig4_layers fig5_surgical reliability cka_retrieval subspaces logit_lens probes controls contrast recipes two_models

.PHONY: sweep quick figures test lint bench parity clean

sweep: $(STAMP)  ## six languages on the demo model: transfer, localization, steering
	$(BIN)/python -m mechcla.sweep $(ARGS)

quick: $(STAMP)  ## the same in two languages with coarse layers
	$(BIN)/python -m mechcla.sweep --preset quick $(ARGS)

figures: $(STAMP)  ## every figure of the paper and the new ones, from runs/demo and the demo model
	@test -f runs/demo/summary.csv || $(BIN)/python -m mechcla.sweep
	@for name in $(FIGURES); do $(BIN)/python -m analyses.$$name || exit 1; done

test: $(STAMP)  ## all tests, the demo model among them
	$(BIN)/python -m pytest $(ARGS)

lint: $(STAMP)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/python tests/size.py

bench: $(VENV)/.bench  ## the engine against its peers (half an hour on 2 cores)
	$(BIN)/python -m analyses.benchmarks $(ARGS)

parity: $(VENV)/.bench  ## log-likelihoods and accuracies against lm-eval's
	$(BIN)/python -m analyses.lm_eval_parity $(ARGS)

# steering-vectors asks for transformers < 5; it runs with 5, so it goes in without its dependencies.
$(VENV)/.bench: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps steering-vectors==0.12.2
	@touch $@

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "mechcla needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Set PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[demo,test]'
	$(BIN)/python -m mechcla.models.demo
	@touch $(STAMP)

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
