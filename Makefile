# `make repro` and `make test` do everything, set-up included. `make help` lists the rest.

PYTHON ?= python3
VENV ?= .venv
PIP_ARGS ?=
SOURCE ?= sample
STORE ?=
PORT ?=

.DEFAULT_GOAL := help
# The pipeline of a source: the root dvc.yaml is the sample's, real/dvc.yaml the real archives'.
PIPELINE = $(if $(filter-out sample,$(SOURCE)),$(SOURCE)/)dvc.yaml
BENCHED = $(if $(DATA_MIRROR),real,$(SOURCE))
.PHONY: help setup cluster repro repro-pull ablation push verify report figures weights test \
	test-all lint format lock bench bench-quick clean
SHELL := bash
export PATH := $(abspath $(VENV))/bin:$(PATH)
# DVC writes new entries of a lock file in an order that depends on it.
export PYTHONHASHSEED := 0
# With it `python -m` does not look into this folder.
unexport PYTHONSAFEPATH
# pip warns of what nobody here can change: that root calls it, that there is a newer one.
export PIP_ROOT_USER_ACTION := ignore
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# What stages print passes through `quietly` line by line.
export PYTHONUNBUFFERED := 1
# pip's own output, without what it says of an index that has not every package.
install = $(VENV)/bin/python -m pip install $(PIP_ARGS) $(1) \
	2> >(grep --line-buffered -v 'WARNING: Location .* is ignored' >&2)
# A command of DVC's without the lines that tell nothing to who wants the result.
quietly = echo '$(1)'; $(1) | grep --line-buffered -vEf tools/dvc_lines.txt; exit $${PIPESTATUS[0]}

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 13

setup: $(VENV)/installed ## make the environment: pinned packages in .venv

# The mark is made last: an interrupted installation is begun again.
$(VENV)/installed: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(call install,--quiet --upgrade 'pip>=25.1') # whose bar covers the installation too
	$(call install,-r requirements.txt)
	touch $@

cluster: $(VENV)/cluster ## Ray too, for trainings on many machines: docs/scale.md

$(VENV)/cluster: $(VENV)/installed requirements-cluster.txt
	$(call install,-r requirements-cluster.txt)
	touch $@

repro: setup ## run the pipeline (SOURCE=real: the real archives) and print the three answers
	@$(call quietly,dvc repro $(PIPELINE))
	@python -m tools.answers $(SOURCE)

repro-pull: setup ## the same, with what the default remote has already
	@$(call quietly,dvc repro --pull --allow-missing $(PIPELINE))
	@python -m tools.answers $(SOURCE)

push: setup ## send a source's files to the default remote
	dvc push --with-deps $(PIPELINE)

ablation: setup ## the study of question one's choices: docs/method.md (SOURCE=real)
	dvc repro stages/ablation/dvc.yaml:ablation-table@$(SOURCE)

verify: ## hash every object of DVC's cache (STORE=... of another store) and name the damaged ones
	@cd "$(or $(STORE),$$(dvc cache dir)/files/md5)" && find . -type f \
		| sed -nE 's#^\./(..)/([0-9a-f]{30})(\.dir)?$$#\1\2  &#p' | md5sum --check --quiet

report: setup ## the report in the browser, with a box to draw in (SOURCE, PORT)
	python -m tools.report --source $(SOURCE) $(if $(PORT),--port $(PORT))

figures: setup ## draw the pictures of README and docs (SOURCE=real), and fill their tables
	python -m tools.figures --source $(SOURCE)
	python -m tools.tables

weights: setup ## put a source's networks into the package (SOURCE=real), with their model cards
	python -m tools.weights --source $(SOURCE)

test: lint ## lint, types and the tests of a few minutes
	python -m pytest -n auto --dist worksteal

test-all: lint ## the slow tests too
	python -m pytest -n auto --dist worksteal -m ''

lint: cluster ## ruff and mypy
	ruff check .
	ruff format --check .
	mypy

format: setup ## let ruff fix what it can
	ruff check --fix .
	ruff format .

# torch names its CUDA packages and their versions itself; left out here, a CPU build needs none.
lock: setup ## choose new versions: pyproject.toml -> requirements.txt, for all platforms
	uv pip compile --quiet --upgrade --universal --python-version 3.11 --extra train --extra dev \
		--no-annotate --no-header --no-emit-index-url pyproject.toml \
		| grep -vE '^(nvidia-|cuda-|triton)' > requirements.lock
	mv requirements.lock requirements.txt
	uv pip compile --quiet --upgrade --universal --python-version 3.11 --extra cluster --no-annotate \
		--no-header --no-emit-index-url --constraint requirements.txt pyproject.toml \
		| grep -vxFf requirements.txt | grep -v '^colorama' > requirements-cluster.txt

bench: cluster bench-quick ## all of it: every fault of labels, 100 times the digits, Ray: hours
	python -m bench.training --seeds 5 --model-sizes large --alone --name training-large
	python -m bench.diagnosis --source $(BENCHED)
	python -m bench.scale
	python -m bench.cluster

bench-quick: setup ## what it costs, against what people copy (DATA_MIRROR: on the real data)
	python -m bench.preprocess
	python -m bench.framing
	python -m bench.predict --source $(BENCHED)
	python -m bench.training --seeds 5
	python -m bench.transfer --source $(BENCHED)

clean: ## remove what can be made again, except DVC's cache (`dvc gc -w` for that)
	rm -rf scratch artifacts data/raw data/images data/tensors .*_cache .hypothesis
