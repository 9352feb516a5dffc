# `make repro` and `make test` do everything, set-up included. `make help` lists the rest.

PYTHON ?= python3
VENV ?= .venv
PIP_ARGS ?=
SOURCE ?=
DEVICE ?=
URL ?=
SETTINGS ?=
AGAINST ?=
PORT ?=

.DEFAULT_GOAL := help
options = $(if $(SOURCE),--source $(SOURCE)) $(if $(DEVICE),--device $(DEVICE))
.PHONY: help setup repro repro-pull ablation push changes commit comment remote forget verify verify-remote \
	report test test-all lint format lock bench bench-full clean
SHELL := /bin/sh
export URL SETTINGS  # not pasted into a recipe: a password may hold any character
export PATH := $(abspath $(VENV))/bin:$(PATH)

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 15

setup: $(VENV)/installed ## make the environment: pinned packages in .venv

# The mark is made last: an interrupted installation is begun again.
$(VENV)/installed: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -r requirements.txt
	touch $@

repro: setup ## reproduce the pipeline (SOURCE=dropbox: the real archives; DEVICE=cuda)
	python -m tools.repro $(options)

repro-pull: setup ## the same, with what the default remote has already
	python -m tools.repro $(options) repro --pull --allow-missing

push: setup ## send what this source's run made, and the record of it, to the default remote
	python -m tools.repro $(if $(SOURCE),--source $(SOURCE)) push --run-cache

changes: setup ## what changes against main (AGAINST=revision), for a pull request
	@python -m tools.changes $(if $(SOURCE),--source $(SOURCE)) $(if $(AGAINST),--against $(AGAINST))

commit: setup ## commit and push the lock, metrics and params of a run to its branch
	@python -m tools.commit

comment: ## put dvc_plots/changes.md on the pull request (in a workflow of GitHub)
	@$(PYTHON) tools/comment.py dvc_plots/changes.md

remote: setup ## where `dvc push` puts it all (URL=folder or ssh://...; SETTINGS="option=value ...")
	@python -m tools.remote "$$URL" $$SETTINGS

forget: setup ## the opposite, for what logs in there
	@python -m tools.remote --forget

verify: setup ## hash all of DVC's cache, and take out what is damaged
	@python -m tools.verify

verify-remote: setup ## the same for the default remote, mended from the cache
	@python -m tools.verify --remote

report: setup ## the report in the browser, with a box to draw in (SOURCE, PORT)
	python -m tools.report $(if $(SOURCE),--source $(SOURCE)) $(if $(PORT),--port $(PORT))

ablation: setup ## what each choice of question one buys: docs/design-choices.md (SOURCE=dropbox)
	python -m tools.repro $(options) repro preprocess-characters crossvalidate
	python -m tools.repro $(options) --cd ablation repro

test: setup lint ## lint, types and the tests of a few minutes
	python -m pytest -n auto

test-all: setup lint ## the slow tests too
	python -m pytest -n auto -m ''

lint: setup ## ruff and mypy
	ruff check .
	ruff format --check .
	mypy

format: setup ## let ruff mend what it can
	ruff check --fix .
	ruff format .

# torch names its CUDA packages and their versions itself; left out here, a CPU build needs none.
lock: setup ## choose new versions: pyproject.toml -> requirements.txt, for all platforms
	uv pip compile --quiet --upgrade --universal --python-version 3.11 --extra dev \
		--no-annotate --no-header --no-emit-index-url pyproject.toml \
		| grep -vE '^(nvidia-|cuda-|triton)' > requirements.lock
	mv requirements.lock requirements.txt

bench: setup ## what it costs, against what people copy (DATA_MIRROR: on the real data)
	python -m bench.preprocess
	python -m bench.predict --source $(or $(SOURCE),$(if $(DATA_MIRROR),dropbox,sample))
	python -m bench.training
	python -m bench.transfer --source $(or $(SOURCE),$(if $(DATA_MIRROR),dropbox,sample))

bench-full: setup ## the same, with the strongest recipe and all epochs of the example: an hour
	python -m bench.training --seeds 5 --strengths fast middle strong --full
	python -m bench.diagnosis --source $(or $(SOURCE),$(if $(DATA_MIRROR),dropbox,sample))

clean: ## remove what can be made again, the cache of DVC apart (`dvc gc -w` for that)
	rm -rf scratch live artifacts ablation/artifacts data/raw data/images data/tensors .*_cache .hypothesis
