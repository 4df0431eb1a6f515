# emotion-stream: the task file. `make` alone lists what it can do.
# Everything runs in .venv, which `setup` makes; nothing else on the machine is touched.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.complete
LOCAL  := deploy/constraints-local.txt
PIP    := $(BIN)/python -m pip --disable-pip-version-check --no-input

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow chaos check docs reference bench bench-replay bench-sql builtin format clean

help: ## List the targets
	@echo "emotion-stream: posts on Kafka in, exact emotion trends in Postgres out"
	@echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20

setup: $(STAMP) ## Make .venv with everything for demo and tests (minutes, once)

# torch first, and its CPU build: the range in pyproject.toml alone would bring gigabytes of CUDA.
# Where the configured index has no CPU build, PyTorch's own index has.
$(STAMP): pyproject.toml $(LOCAL)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "emotion-stream needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 2; }
	@echo "setup: making $(VENV) (two or three minutes, once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "setup: torch, CPU build"
	@if [ "$$(uname -s)" = Linux ]; then \
		$(PIP) install -q -c $(LOCAL) 'torch==2.13.0+cpu' 2>/dev/null || \
		$(PIP) install -q --no-deps -c $(LOCAL) --index-url https://download.pytorch.org/whl/cpu torch; \
	else $(PIP) install -q -c $(LOCAL) torch; fi
	@echo "setup: the worker, the trainer, and what demo and tests need"
	@$(PIP) install -q -c $(LOCAL) -e '.[local,trainer,dev]'
	@touch $@
	@echo "setup: done"

demo: setup ## The whole product on this machine: a feed with a story in it, its trends, a picture
	@$(BIN)/emotion-worker demo

test: setup ## The tests: unit, integration (embedded broker and Postgres), end to end, short chaos
	@$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow"

test-slow: setup ## The tests that take longest, which `test` leaves out
	@$(BIN)/python -m pytest -n 2 --dist worksteal -m slow

chaos: setup ## Break everything, ten times each, and compare the tables with an oracle's (15 minutes)
	@$(BIN)/python -m tests.chaos $(if $(SEED),--seed $(SEED))

check: setup ## ruff, mypy, and the direction of the imports
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

docs: $(VENV)/.docs reference ## The documentation as a site in build/site; a broken link fails
	@$(BIN)/python -m sphinx -q -W --keep-going -b html -c docs -d build/doctrees . build/site
	@echo "build/site/index.html"

$(VENV)/.docs: $(STAMP)
	@$(PIP) install -q -c $(LOCAL) -e '.[docs]'
	@touch $@

reference: setup ## Write the parts of docs/ that come from the code anew
	@$(BIN)/python -m docs.generate

# Three teachers and the student, each gone on with where an earlier call was stopped.
TRAINER   := OMP_NUM_THREADS=1 $(BIN)/emotion-trainer
DAIR      := --data $(EMOTION)
BOTH      := $(DAIR) --data goemotions=$(GOEMOTIONS)
TEACHERS  := $(foreach n,1 2 3,--teacher runs/builtin-teacher-$(n)-bundle)
train_one  = if [ -d runs/$(1) ]; then $(TRAINER) train --resume runs/$(1) --base $(ENCODER) $(2); \
	else $(TRAINER) train --recipe $(1) --base $(ENCODER) --output runs/$(1) $(2) $(3); fi

builtin: setup ## Make the bundled model again: EMOTION=, GOEMOTIONS= and ENCODER= name folders (5 hours)
	@test -d "$(EMOTION)" && test -d "$(GOEMOTIONS)" && test -d "$(ENCODER)" || \
		{ echo "make builtin needs EMOTION=, GOEMOTIONS= and ENCODER=: docs/how-to/retrain.md" >&2; exit 2; }
	$(call train_one,builtin-teacher-1,$(DAIR))
	$(call train_one,builtin-teacher-2,$(BOTH))
	$(call train_one,builtin-teacher-3,$(BOTH))
	for n in 1 2 3; do $(TRAINER) package runs/builtin-teacher-$$n \
		--output runs/builtin-teacher-$$n-bundle || exit 1; done
	$(call train_one,builtin,$(BOTH),$(TEACHERS))
	$(TRAINER) package runs/builtin --output worker/models/builtin

format: setup ## Let ruff lay the code out and mend what it can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: setup ## Posts per second: the pipeline, the bare classifier, a one-by-one pipeline; memory
	@$(BIN)/python -m benchmarks.pipeline

bench-replay: setup ## Commit times of the live stream with a replay beside it, and without
	@$(BIN)/python -m benchmarks.replay

bench-sql: setup ## Reads of 10 million trend cells and labels, with their plans; 15 GB in /tmp
	@$(BIN)/python -m benchmarks.sql --explain /tmp/emotion-bench-sql.txt

clean: ## Remove .venv and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
