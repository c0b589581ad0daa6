# Everything a reader or a developer needs. Each target does all of its own set-up: a fresh Debian or Ubuntu box with
# Python (>= 3.11) and make is enough. What is made stays inside the checkout (.venv, .tools).

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
# Only an interpreter that is already there: a download would come from a host that not every network lets through.
export UV_PYTHON_DOWNLOADS := never
UV = uv=$$(scripts/uv.sh); "$$uv"

# What the type checker reads, in strict mode: the package and everything beside it.
CODE := $(wildcard services operator tests scripts bench examples)
# Extra arguments of `run`, `test`, `bench` and `lock`.
ARGS ?=
# Branch coverage under this fails `make test`; that of the operator fails `make test-cluster`, where most of its tests are.
COVERAGE_GATE := 90

# On which the conformance tests run in `test-fleet`.
FLEETS ?= cluster,minio sentinel,versitygw

.PHONY: help run fleet cluster cluster-down test test-fleet test-cluster test-cluster-short sbom lint fmt lock bench testbed clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(VENV)/.ready-to-run ## Start the server; ARGS="--port 9000 --data-dir /srv/uploads"
	@exec $(BIN)/tusfleet serve $(ARGS)

fleet: $(VENV)/.ready-to-develop ## Start Redis, an S3 server, two gateways and a proxy on this machine; ARGS=--help
	@scripts/debian_needs.sh redis-server:redis-server
	@exec $(BIN)/python -m tests.testbed.playground $(ARGS)

# Only root can run a node, and then can also install what one needs; everybody else has the tests of it skipped.
NODE_NEEDS = [ "$$(id -u)" -ne 0 ] || scripts/debian_needs.sh runc:runc buildah:buildah debootstrap:debootstrap \
	nft:nftables ip:iproute2 gcc:gcc,libc6-dev openssl:openssl

CLUSTER_NEEDS = $(NODE_NEEDS); [ "$$(id -u)" -ne 0 ] || scripts/debian_needs.sh redis-server:redis-server

cluster: $(VENV)/.ready-to-develop ## Leave a Kubernetes cluster standing on this machine, and say how to use it (root, Linux)
	@$(NODE_NEEDS)
	@$(BIN)/python -m tests.testbed.cluster_playground up

cluster-down: $(VENV)/.ready-to-develop ## End the cluster that `make cluster` left
	@$(BIN)/python -m tests.testbed.cluster_playground down

test: $(VENV)/.ready-to-develop ## Run every test with the coverage gate; ARGS="tests/unit -k offset" runs some, without it
	@scripts/debian_needs.sh node:nodejs npm:npm gcc:gcc,libc6-dev openssl:openssl redis-server:redis-server
ifeq ($(strip $(ARGS)),)
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest -m "alone and not cluster"
	@$(BIN)/coverage run -m pytest -m "not alone and not long and not cluster" -n auto
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report --fail-under=$(COVERAGE_GATE) --omit="operator/*"
else
	@$(BIN)/python -m pytest $(ARGS)
endif

test-fleet: $(VENV)/.ready-to-develop ## Run what takes minutes: deaths at every await point, conformance on two gateways; FLEETS="sentinel,versitygw"
	@scripts/debian_needs.sh redis-server:redis-server
	@scripts/fleet_tests.sh $(FLEETS)

# 5 is the status of pytest for no test at all.
test-cluster: $(VENV)/.ready-to-develop ## Run what needs a Kubernetes API, with a node that runs pods (root, Linux); ARGS="tests/cluster -k hpa"
	@$(CLUSTER_NEEDS)
ifeq ($(strip $(ARGS)),)
	@scripts/cluster_tests.sh $(COVERAGE_GATE)
else
	@$(BIN)/python -m pytest -m "cluster and not node" -n 2 $(ARGS) || [ $$? -eq 5 ]
	@$(BIN)/python -m pytest -m "cluster and node" $(ARGS) || [ $$? -eq 5 ]
endif

test-cluster-short: $(VENV)/.ready-to-develop ## The same without the tests that take longest
	@$(CLUSTER_NEEDS)
	@scripts/cluster_tests.sh $(COVERAGE_GATE) --short

sbom: $(VENV)/.ready-to-develop ## Build both images and write what is in them to build/sbom/, in the JSON of CycloneDX (root, Linux)
	@$(NODE_NEEDS)
	@$(BIN)/python -m tests.testbed.sbom

lint: $(VENV)/.ready-to-develop ## Check style, types, imports between rooms, files that are written from others, forbidden text
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy $(CODE)
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m scripts.settings_docs --check
	@$(BIN)/python -m scripts.settings_schema --check
	@$(BIN)/python -m scripts.crd --check
	@$(BIN)/python -m scripts.rbac --check
	@$(BIN)/python -m scripts.tusserver_docs --check
	@$(BIN)/python -m scripts.charts --check
	@$(BIN)/python -m scripts.forbidden_text

fmt: $(VENV)/.ready-to-develop ## Format the code, apply safe fixes, write the files anew that are written from others
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format
	@$(BIN)/python -m scripts.settings_docs
	@$(BIN)/python -m scripts.settings_schema
	@$(BIN)/python -m scripts.crd
	@$(BIN)/python -m scripts.rbac
	@$(BIN)/python -m scripts.tusserver_docs
	@$(BIN)/python -m scripts.charts

COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header $(ARGS)
lock: ## Pin every version with its hashes from pyproject.toml; ARGS=--upgrade takes newer ones
	@$(COMPILE) --group bootstrap --output-file requirements/uv.txt
	@$(COMPILE) pyproject.toml --output-file requirements/base.txt
	@$(COMPILE) pyproject.toml --extra redis --extra s3-crt --constraint requirements/base.txt --output-file requirements/fleet.txt
	@$(COMPILE) pyproject.toml --extra operator --constraint requirements/fleet.txt --output-file requirements/operator.txt
	@$(COMPILE) --group build --constraint requirements/base.txt --output-file requirements/build.txt
	@$(COMPILE) pyproject.toml --all-extras --group dev --constraint requirements/fleet.txt --constraint requirements/operator.txt \
		--constraint requirements/build.txt --output-file requirements/dev.txt

bench: $(VENV)/.ready-to-develop ## Compare with other servers and write bench/RESULTS.md; ARGS=--help says what it takes
	@scripts/debian_needs.sh node:nodejs npm:npm gcc:gcc,libc6-dev
	@$(BIN)/python -m bench.run $(ARGS)

testbed: $(VENV)/.ready-to-develop ## Fetch and build everything the tests run against into the user's cache
	@scripts/debian_needs.sh node:nodejs npm:npm openssl:openssl redis-server:redis-server
	@$(NODE_NEEDS)
	@$(BIN)/python -m tests.testbed --cluster

clean: ## Remove what the targets made inside the checkout (uploads in data/ stay)
	@rm -rf $(VENV) .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage .coverage.* \
		htmlcov build dist
	@find services operator scripts tests bench -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

$(VENV)/bin/python:
	@$(UV) venv --quiet --allow-existing --python '>=3.11' $(VENV) \
		|| { echo "Tusfleet needs Python 3.11 or newer on PATH (Debian and Ubuntu: apt-get install python3)." >&2; exit 1; }

# Our own package is installed last, editable, with the pinned build backend: nothing unpinned enters the environment.
INSTALL = $(UV) pip install --quiet --python $(VENV)
INSTALL_OURS = $(INSTALL) --no-deps --no-build-isolation --reinstall-package tusfleet --editable .

$(VENV)/.ready-to-run: requirements/base.txt requirements/build.txt pyproject.toml | $(VENV)/bin/python
	@echo "Setting up $(VENV) (once)" >&2
	@$(INSTALL) --require-hashes -r requirements/base.txt -r requirements/build.txt
	@$(INSTALL_OURS)
	@touch $@

$(VENV)/.ready-to-develop: requirements/dev.txt pyproject.toml | $(VENV)/bin/python
	@echo "Setting up $(VENV) for development (once)" >&2
	@$(INSTALL) --require-hashes -r requirements/dev.txt
	@$(INSTALL_OURS)
	@touch $(VENV)/.ready-to-run $@
