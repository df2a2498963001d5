# Catfish: `make help` lists what there is to do. Everything that is downloaded or compiled is kept in one cache
# outside the checkout, by version, so that a second run (and a second checkout) is quick.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
CATFISH_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/catfish
CLUSTER ?= auto
NODES ?= 1
export CATFISH_CACHE
export PYTHONPATH := $(CURDIR)/operator:$(CURDIR)/model_server:$(CURDIR)

LOCK := $(shell cat requirements/dev.txt requirements/torch.txt | sha256sum | cut -c1-12)
VENV := $(CATFISH_CACHE)/venv-$(LOCK)
BIN := $(VENV)/bin
LOCALCLUSTER := $(PYTHON) -m localcluster

##@ Try it

.PHONY: demo
demo: ## From nothing to a prediction: cluster, images, operator, model, rollouts (15 min cold, 3 min warm)
	$(PYTHON) -m demo --provider $(CLUSTER)

.PHONY: cluster
cluster: ## Start a local Kubernetes cluster (NODES=2 for two nodes, METRICS=1, CLUSTER=kind|local|current)
	$(LOCALCLUSTER) up --provider $(CLUSTER) --nodes $(NODES)
	$(if $(METRICS),$(LOCALCLUSTER) add metrics-server)

.PHONY: cluster-down
cluster-down: ## Remove the local cluster; leaves nothing behind
	$(LOCALCLUSTER) down

.PHONY: cluster-status
cluster-status: ## Say what of the local cluster is running
	$(LOCALCLUSTER) status

.PHONY: images
images: ## Build the images with docker or buildah: the server, the server without torch, the operator
	$(LOCALCLUSTER) build-images
	$(LOCALCLUSTER) build-images --only server-onnx

.PHONY: prerequisites
prerequisites: ## Install the system's packages that the local cluster and the tests need (apt, as root)
	@$(LOCALCLUSTER) prerequisites --tests

##@ Develop

.PHONY: check
check: $(VENV)/.installed ## Lint, types and layering: ruff, mypy --strict, import-linter
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: format
format: $(VENV)/.installed ## Format the code and fix what can be fixed by itself
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: docs
docs: $(VENV)/.installed ## Write settings, API reference and metrics into the pages about the model server
	$(BIN)/python -m tools.docs

.PHONY: test-unit
test-unit: prerequisites $(VENV)/.installed ## The inner loop: no cluster, seconds
	$(BIN)/pytest -m "not integration and not e2e and not process" $(PYTEST_ARGS)

.PHONY: test-integration
test-integration: prerequisites $(VENV)/.installed ## The operator against a real etcd and kube-apiserver
	$(BIN)/pytest -m integration $(PYTEST_ARGS)

.PHONY: log-outage
log-outage: prerequisites $(VENV)/.installed ## The prediction log under load while its broker is down for a minute
	CATFISH_TEST_OUTAGE_SECONDS=60 $(BIN)/pytest tests/model_server/predictions/test_whole.py -rP -k harms_nobody $(PYTEST_ARGS)

.PHONY: test-e2e
test-e2e: prerequisites $(VENV)/.installed ## Both images on the whole local cluster (root, Linux)
	$(BIN)/pytest -m e2e $(PYTEST_ARGS)

.PHONY: test-e2e-namespaced
test-e2e-namespaced: prerequisites $(VENV)/.installed ## The same with an operator that has rights in one namespace only
	$(BIN)/pytest -m e2e --namespaced $(PYTEST_ARGS)

.PHONY: test-drain
test-drain: prerequisites $(VENV)/.installed ## kubectl drain under load, on a local cluster that keeps its second node
	$(LOCALCLUSTER) up --provider local --nodes 2
	$(BIN)/pytest tests/faults/test_drain.py $(PYTEST_ARGS)

.PHONY: test
test: prerequisites $(VENV)/.installed ## All tests that this machine can run; installs what they need
	$(BIN)/python -m tools.tiers $(PYTEST_ARGS)

.PHONY: mutants
mutants: $(VENV)/.installed ## Bugs put into a copy of the operator, one by one: which test notices each
	$(BIN)/python -m tests.mutants

.PHONY: venv
venv: $(VENV)/.installed ## The virtual environment of the tests, linked as .venv
	ln -sfn $(VENV) .venv

.PHONY: lock
lock: $(VENV)/.installed ## Pin the dependencies of pyproject.toml anew, with hashes
	PATH=$(BIN):$$PATH requirements/lock.sh

# torch first: it is the long part. The lock file then settles the version of everything that it pulled in.
# Its name holds the hash of both files, so a fresh clone, whose files are all new, does not install it again.
$(VENV)/.installed:
	@echo "installing the Python environment into $(VENV) (once; about 5 minutes, 5 GB where torch comes with CUDA)"
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || $(LOCALCLUSTER) prerequisites
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-deps --requirement requirements/torch.txt
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements/dev.txt
	$(BIN)/python -m pip install --quiet --requirement requirements/torch.txt
	touch $@

.PHONY: cpp
cpp: $(VENV)/.installed ## Build the C++ programs of cpp/ with the torch of the Python environment
	$(BIN)/python -m tools.cpp

.PHONY: protocol
protocol: $(VENV)/.installed ## Write the Python modules of the server's .proto anew
	$(BIN)/python -m tools.protocol

.PHONY: crd-core-types
crd-core-types: prerequisites $(VENV)/.installed ## Copy Kubernetes' own types into the CRD anew, from a running API server
	$(BIN)/python -m tools.core_types

##@ Measure

.PHONY: bench-settle
bench-settle: prerequisites $(VENV)/.installed ## 50 models at once: requests to converge, writes once settled and after a restart
	$(BIN)/python -m benchmarks.settle

.PHONY: bench-scale
bench-scale: prerequisites $(VENV)/.installed ## 1,000 models: seconds to converge, requests, memory, changes a second, a noisy namespace (15 min)
	$(BIN)/python -m benchmarks.scale $(BENCH_ARGS)

.PHONY: bench-drain
bench-drain: $(VENV)/.installed ## SIGTERM under load: requests failed or reset, CPU time a request
	$(BIN)/python -m benchmarks.drain

.PHONY: bench-fetch
bench-fetch: prerequisites $(VENV)/.installed ## Memory while 5 GB of weights are fetched, over HTTP and from S3 (10 GB of disk)
	$(BIN)/python -m benchmarks.fetch $(BENCH_ARGS)

.PHONY: bench-start
bench-start: prerequisites $(VENV)/.installed ## Seconds until each image is Ready, beside a bare import of torch (root, Linux)
	$(BIN)/python -m benchmarks.start $(BENCH_ARGS)

.PHONY: bench-serve
bench-serve: $(VENV)/.installed ## Rate, latency and CPU a request beside mosec and Flask on waitress; fails where a target is missed (25 min)
	$(BIN)/python -m benchmarks.serve $(BENCH_ARGS)

.PHONY: bench-quantize
bench-quantize: $(VENV)/.installed ## Models in 8 bits beside eager, on one core: speed, size, answers (needs `make demo` before)
	$(BIN)/python -m benchmarks.quantize $(BENCH_ARGS)

.PHONY: bench-rollout-load
bench-rollout-load: ## Requests failed while a model is scaled and updated under load (needs `make demo` before)
	$(PYTHON) -m benchmarks.rollout_load

.PHONY: bench-rollout
bench-rollout: $(VENV)/.installed ## Twenty kinds of bad update under load, beside a plain Deployment (needs `make demo` before; 40 min)
	$(BIN)/python -m benchmarks.rollout --plain $(BENCH_ARGS)

##@ Help

.PHONY: help
help: ## This list
	@awk 'BEGIN {FS = ":.*## "; printf "usage: make TARGET\n"} \
		/^##@/ {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z0-9-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
