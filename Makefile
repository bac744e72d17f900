# `make` lists what there is. Everything runs in .venv/, which the first target builds.
SHELL := /bin/bash
.DEFAULT_GOAL := help

is_new := -c 'import sys; sys.exit(sys.version_info < (3, 11))'
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python $(is_new) 2>/dev/null && echo $$python && break; done)
BIN := .venv/bin
PIP_INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check --no-input -c constraints.txt
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest
WORKERS ?= auto
COVERED := */diffusion/*,*/samplers/*,*/guidance/*,*/attention/*,*/backbones/*
DEMO := runs/demo
SECTIONS ?= all
N ?= 2000,10000
EXTRACTORS ?= lite0
TURNS ?= 3
OTHERS := .venv-bench-data

.PHONY: help demo laion test lint format test-slow test-ranks test-slurm bench bench-gpu bench-data bench-metrics gpu clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

.venv/run: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "ldmlab needs Python 3.11 or newer; name one with PYTHON=" >&2; exit 2; }
	@echo "building .venv ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(PIP_INSTALL) -e .
	@touch $@

.venv/dev: .venv/run
	@echo "adding the tools for tests ..."
	@$(PIP_INSTALL) -e '.[test,dev]'
	@touch $@

.venv/bench: .venv/run
	@echo "adding diffusers to measure against ..."
	@$(PIP_INSTALL) -e '.[bench]'
	@touch $@

$(OTHERS)/ready: .venv/dev tests/bench/data_bench/requirements.txt
	@echo "building $(OTHERS) with other loaders to measure against, which sees what is in .venv ..."
	@rm -rf $(OTHERS)
	@$(BIN)/python -m venv $(OTHERS)
	@$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > \
		"$$($(OTHERS)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/ldmlab.pth"
	@while read package; do $(OTHERS)/bin/python -m pip install -qqq --disable-pip-version-check --no-input \
		"$$package" || echo "$$package cannot be installed here, and is left out"; \
		done < tests/bench/data_bench/requirements.txt
	@touch $@

demo: .venv/run ## shards, autoencoder, text-to-image DiT, samples and metrics from nothing
	$(BIN)/ldmlab data dataset=shapes data.path=$(DEMO)/data
	@rm -rf $(DEMO)/autoencoder $(DEMO)/dit $(DEMO)/samples $(DEMO)/evaluation
	$(BIN)/ldmlab train experiment=demo/autoencoder data.path=$(DEMO)/data output_dir=$(DEMO)/autoencoder
	$(BIN)/ldmlab train experiment=demo/dit data.path=$(DEMO)/data output_dir=$(DEMO)/dit \
		autoencoder_ckpt=$(DEMO)/autoencoder/model.safetensors
	$(BIN)/ldmlab sample ckpt=$(DEMO)/dit/model.safetensors output_dir=$(DEMO)/samples
	$(BIN)/ldmlab evaluate ckpt=$(DEMO)/autoencoder/model.safetensors data.path=$(DEMO)/data n=200 \
		output_dir=$(DEMO)/evaluation/autoencoder
	$(BIN)/ldmlab evaluate ckpt=$(DEMO)/dit/model.safetensors data.path=$(DEMO)/data n=200 \
		output_dir=$(DEMO)/evaluation/dit
	@echo
	@echo "contact sheet:    $(DEMO)/samples/contact_sheet.png"
	@echo "denoising strip:  $(DEMO)/samples/denoising_strip.png"
	@echo "metrics:          $(DEMO)/evaluation/autoencoder/metrics.json"
	@echo "                  $(DEMO)/evaluation/dit/metrics.json"

laion: .venv-laion/bin/img2dataset ## img2dataset in .venv-laion, where `ldmlab data dataset=laion` finds it

.venv-laion/bin/img2dataset: | .venv/run
	@echo "building .venv-laion ..."
	@$(PIP_INSTALL) -e '.[laion]'
	@test -x .venv-laion/bin/python || $(PYTHON) -m venv .venv-laion
	@.venv-laion/bin/python -m pip install -qq --disable-pip-version-check --no-input \
		'img2dataset==1.47.0' 'standard-imghdr; python_version >= "3.13"'

test: .venv/dev ## all tests but the slow ones and those for a GPU, and the coverage of the core
	$(PYTEST) -n $(WORKERS) --maxprocesses 8 --dist worksteal --cov=ldmlab --cov-report=
	$(BIN)/coverage report --fail-under=90 --include="$(COVERED)"

test-slow: .venv/dev ## the slow tests
	$(PYTEST) -m slow

test-ranks: .venv/dev ## the tests that train in several processes on this host, by DDP and FSDP2
	$(PYTEST) -m ranks tests/ranks

test-slurm: .venv/dev ## the tests in a real SLURM of three nodes, which is installed (as root on Debian) and started here
	@tests/slurm/install.sh
	$(PYTEST) -m slurm tests/slurm

bench: .venv/dev ## what networks, editing and start-up cost on a CPU, as ratios measured side by side
	$(PYTEST) -m bench

bench-gpu: .venv/bench ## the same on a GPU, beside diffusers, into docs/performance.md (SECTIONS=drawing,training)
	PYTHONPATH=tests/bench $(BIN)/python -m side_by_side --sections $(SECTIONS) --page docs/performance.md

bench-data: $(OTHERS)/ready ## what reading data costs, beside other loaders, into docs/performance.md (SECTIONS=loaders,order)
	OMP_NUM_THREADS=1 PYTHONPATH=src:tests/bench $(OTHERS)/bin/python -m data_bench --sections $(SECTIONS) \
		--page docs/performance.md

bench-metrics: .venv/dev ## what measuring pictures costs, beside torch-fidelity, into docs/performance.md (N=2000,10000)
	PYTHONPATH=src:tests/bench $(BIN)/python -m metrics_bench --n $(N) --extractors $(EXTRACTORS) --turns $(TURNS) \
		--page docs/performance.md

gpu: .venv/dev ## the tests that need a GPU
	$(PYTEST) -m gpu

lint: .venv/dev ## what the pre-commit hooks check, on all files
	$(BIN)/pre-commit run --all-files

format: .venv/dev ## let ruff rewrite the files
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean: ## take away .venv, runs and caches
	rm -rf .venv .venv-laion $(OTHERS) runs build dist .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
