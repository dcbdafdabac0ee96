# The only interface that the README and CI use. `make` alone lists the targets.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip install --quiet --disable-pip-version-check

LEAN := $(VENV)/.lean
FULL := $(VENV)/.full
KAFKA := $(VENV)/.kafka
SUPPLY := build/audit/venv/bin
DOCS := build/docs-venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup demo up test test-all check fault bench bench-peers train evaluate export package infra-check plan deploy models rollback runbook destroy lock audit sbom docs clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Two stamps: lean serves, sends and runs the local twin (no TensorFlow); full adds training and the tests.
$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)

$(LEAN): pyproject.toml functions/requirements.lock client/requirements.txt infra/local/requirements.txt | $(PY)
	$(PIP) --require-hashes -r functions/requirements.lock
	$(PIP) -r functions/requirements.txt -r client/requirements.txt -r infra/local/requirements.txt
	$(PIP) --no-deps --editable .
	@touch $@

$(FULL): requirements.txt model/requirements.txt tests/requirements.txt $(LEAN)
	$(PIP) -r requirements.txt -r tests/requirements.txt
	@touch $@

$(KAFKA): functions/requirements-kafka.txt $(LEAN)
	$(PIP) -r functions/requirements-kafka.txt
	@touch $@

setup: $(FULL)  ## Install everything into .venv, with TensorFlow and the test tools

demo: $(LEAN)  ## Classify real images through a topic, a bucket and HTTP, all on this machine
	@$(PY) -m infra.local.demo

up: $(if $(RETRAIN)$(PRETRAINED),$(FULL),$(LEAN)) $(if $(filter kafka,$(BROKER)),$(KAFKA))  ## Start the local twin and leave it running until Ctrl-C (BROKER=kafka: on Kafka; RETRAIN=photos: with a training worker; PRETRAINED=weights: with three ImageNet models)
	@$(PY) -m infra.local up $(if $(BROKER),--broker $(BROKER))

# Four processes, as tests of the twin wait more than they compute; then alone what is held to a clock.
PARALLEL = -q -n $(or $(JOBS),4) --durations=50
MAIN_JOB = tests/conformance/test_stock_client.py::test_the_stock_client

test: $(FULL)  ## Run the quick tests of the units and the twin, and the main job, in some minutes
	$(PY) -m pytest $(PARALLEL) -m "not timing and not slow" tests/unit tests/service "$(MAIN_JOB)[embedded-push]" "$(MAIN_JOB)[embedded-pull]"
	$(PY) -m pytest -m "timing and not slow" tests/unit tests/service

# Coverage is of this run's own processes: what is started and killed by a test reports nothing.
test-all: $(FULL)  ## Run every test (COVERAGE=1 reports coverage)
	$(PY) -m pytest $(PARALLEL) -m "not timing" $(if $(COVERAGE),--cov --cov-report=)
	$(PY) -m pytest -m timing $(if $(COVERAGE),--cov --cov-append --cov-report=term:skip-covered)

check: $(FULL)  ## Lint, format, types, imports, bandit and documents
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-cache
	$(VENV)/bin/bandit --quiet --configfile pyproject.toml --recursive functions client model infra
	$(PY) -m pytest -q tests/unit/test_documents.py tests/unit/test_words.py

fault: $(FULL)  ## Kill workers and the broker under load; fails when a request is lost (N= requests, 10000; FAULT= options)
	$(PY) -m tests.fault --requests $(or $(N),10000) $(FAULT)

bench: $(FULL)  ## Measure everything, then bench-peers, in 45 minutes (48 the first time, with the environments of the peers): tables and build/bench/*.json (QUICK=1: some ratios, in 5 minutes; BENCH= options)
	$(PY) -m tests.bench $(if $(QUICK),--quick) $(BENCH)
	$(if $(QUICK),,$(MAKE) bench-peers)

bench-peers: $(FULL)  ## Compare the worker with other servers: tables and build/bench/peers.json (PEERS= options)
	$(PY) -m tests.bench.peers $(PEERS)

train: $(FULL)  ## Train the Fashion-MNIST model from its config (CONFIG=, OUT=)
	$(PY) -m model train $(if $(CONFIG),--config $(CONFIG)) $(if $(OUT),--out $(OUT))

export: $(FULL)  ## Package the trained network as the artifact that is served
	$(PY) -m model export

evaluate: $(FULL)  ## Measure the artifact on the test images, through the code that serves
	$(PY) -m model evaluate

package: $(LEAN)  ## Write the source archive of a 2nd-gen function to build/
	@$(PY) -m infra.package

infra-check:  ## Check Terraform without a cloud
	@$(PYTHON) -m infra.check

# What is set on make's command line reaches them as environment: no shell reads it again.
deploy: $(LEAN)  ## Deploy to a project of Google Cloud and try every entry point (PROJECT=; see infra/README.md)
	@$(PY) -m infra.deploy deploy

plan: $(LEAN)  ## Print what deploy would change (DRIFT=1: fail when the deployment differs from the files)
	@$(PY) -m infra.deploy plan

models: $(LEAN)  ## Print the aliases of the models that a deployment serves (PROJECT=)
	@$(PY) -m infra.deploy models

rollback: $(LEAN)  ## Serve an image that was deployed before (IMAGE=, and the variables of deploy)
	@$(PY) -m infra.deploy rollback

runbook:  ## Print the runbook with the names of a deployment (PROJECT=, and the variables of deploy)
	@$(PYTHON) -m infra.deploy.runbook

destroy: $(LEAN)  ## Remove the deployment (CONFIRM=, and the variables of deploy)
	@$(PY) -m infra.deploy destroy

$(SUPPLY)/.stamp: infra/audit/requirements.txt
	@mkdir -p build
	$(PYTHON) -m venv build/audit/venv
	$(SUPPLY)/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

COMPILE := ../$(SUPPLY)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
  --custom-compile-command "make lock"

lock: $(SUPPLY)/.stamp  ## Write the requirements*.lock of functions and client from their requirements*.txt, with a hash for every file
	cd functions && $(COMPILE) requirements.txt --output-file requirements.lock
	cd functions && for name in kafka onnx gpu-onnx gpu-savedmodel; do \
	  $(COMPILE) requirements-$$name.txt --constraint requirements.lock --output-file requirements-$$name.lock || exit; done
	cd client && $(COMPILE) requirements.txt --constraint ../functions/requirements.lock --output-file requirements.lock

audit: $(SUPPLY)/.stamp  ## Query an advisory service about the dependencies of the worker and the page; prints NOT AUDITED without an answer
	@$(SUPPLY)/python -m infra.audit

sbom: $(SUPPLY)/.stamp  ## List the worker's dependencies in build/sbom.json (CycloneDX)
	$(SUPPLY)/cyclonedx-py requirements functions/requirements.lock --pyproject pyproject.toml \
	  --output-reproducible --output-file build/sbom.json

$(DOCS)/.stamp: docs/requirements.txt
	@mkdir -p build
	$(PYTHON) -m venv build/docs-venv
	$(DOCS)/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

docs: $(DOCS)/.stamp  ## Build the documentation as a site in build/site, with every link checked
	@NO_MKDOCS_2_WARNING=1 $(DOCS)/python docs/build.py

# build/train and build/artifacts hold what took hours: trained models.
clean:  ## Remove build outputs; .venv and trained models (build/train, build/artifacts) stay
	[ ! -d build ] || find build -mindepth 1 -maxdepth 1 ! -name train ! -name artifacts -exec rm -rf {} +
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
