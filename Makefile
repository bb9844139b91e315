# `make run` and `make test` need git, make and Python 3.11 to 3.13: each creates .venv from the lock if it is missing or
# out of date.

PYTHON ?= python3
LOCK := requirements$(if $(filter 1,$(GPU)),-gpu,).lock
VENV := .venv/bin
# Two processes. Tests are distributed by file, so that module fixtures are built once.
PYTEST := $(VENV)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder
TESTS ?= not stress
export DVC_NO_ANALYTICS := 1
# Hundreds of processes that runs and tests start would otherwise compile the project's modules again, each for itself.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run build-coco build-others test test-jax test-stress check coverage docs server bench lock environment jax programs

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: environment ## Build, train and score every system on synthetic data; GPU=1 installs TensorFlow with CUDA
	@$(VENV)/boxline params
	@$(MAKE) --no-print-directory --jobs $(if $(filter 1,$(GPU)),1,2) build-coco build-others
	@$(VENV)/boxline summary

# Two processes of DVC, each with half of the cores: most of a small run is the start of programs, which uses one core.
# On a GPU there is one process, since TensorFlow takes all of its memory. `dvc repro evaluate` builds the same. The prefix
# tells the lines apart, and the pipe keeps progress bars from overwriting each other.
build-coco: SYSTEMS := evaluate@coco_*
build-others: SYSTEMS := evaluate@[!c]*
build-coco build-others: SHELL := /bin/bash -o pipefail
build-coco build-others:
	@threads=$$(( ($$(nproc) + 1) / 2 )); \
	OMP_NUM_THREADS=$$threads TF_NUM_INTRAOP_THREADS=$$threads \
		$(VENV)/dvc --wait-for-lock repro --glob '$(SYSTEMS)' 2>&1 | sed --unbuffered 's/^/$(@:build-%=%) | /'

test: environment programs ## Run all tests but the stress tests; TESTS="slow" chooses some by marker
	@$(PYTEST) -m "$(TESTS)"

# The tests whose results depend on the backend. A second backend in one process is impossible.
JAX_TESTS := tests/training/test_fit.py tests/training/test_callbacks.py tests/inference/test_predictor.py
test-jax: jax ## Run the tests of trainings and predictions with JAX
	@KERAS_BACKEND=jax $(PYTEST) $(JAX_TESTS)

test-stress: environment programs ## Run the stress tests: dozens of kills at random moments
	@$(PYTEST) -m stress

check: environment ## Run lint, type checks and the fast tests, in a few minutes
	@$(VENV)/python -m ruff check
	@$(VENV)/python -m ruff format --check
	@$(VENV)/python -m mypy
	@$(PYTEST) -m "not slow and not real_data and not stress"

coverage: environment programs ## Run `make test` with a coverage report
	@$(PYTEST) -m "not stress" --cov --cov-report=term-missing:skip-covered

docs: environment ## Build the documentation site into site/, with API pages and checked links
	@NO_MKDOCS_2_WARNING=1 $(VENV)/python -m mkdocs build --strict --quiet

server: environment ## Start a Prefect server and a worker for the deployments of prefect.yaml
	@$(VENV)/python -m flows.server

bench: environment ## Run all benchmarks; takes hours
	@$(VENV)/python -m benchmarks.run
	@$(VENV)/python -m benchmarks.accuracy
	@$(VENV)/python -m benchmarks.ablations
	@$(VENV)/python -m benchmarks.misalignment

# The lock lists every package with its hash, so pip resolves nothing. Bytecode is compiled by all cores afterwards, since
# pip would use one; templates inside packages that are no valid Python do not matter. The stamp in .venv holds the lock and the version
# of Python: file times change with every checkout, and a switch between the CPU and GPU lock must be noticed.
environment:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
		echo "Boxline needs Python 3.11 to 3.13; name one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@stamp=$$($(PYTHON) --version; cat $(LOCK)); \
	test "$$stamp" = "$$(cat .venv/installed 2>/dev/null)" || { \
		echo "Creating .venv from $(LOCK); this takes a few minutes, once."; \
		rm -rf .venv && \
		$(PYTHON) -m venv .venv && \
		$(VENV)/python -m pip install --quiet --quiet --no-compile --no-deps --require-hashes \
			--disable-pip-version-check --requirement $(LOCK) && \
		{ $(VENV)/python -m compileall -q -q -j 0 .venv/lib || true; } && \
		$(VENV)/python -m pip install --quiet --quiet --no-deps --no-build-isolation --no-index \
			--disable-pip-version-check --editable . && \
		echo "$$stamp" > .venv/installed; }

# TensorFlow imports JAX wherever it finds it, which would add a second to the start of every process. So JAX has a folder of
# its own, which a .pth file puts on the path of every process with KERAS_BACKEND=jax.
JAX_ON_PATH := import os, sys; os.environ.get("KERAS_BACKEND") == "jax" and sys.path.append(os.path.join(sys.prefix, "jax"))
jax: environment ## Install JAX (CPU), which KERAS_BACKEND=jax chooses
	@cmp -s requirements-jax.lock .venv/jax/installed || { \
		rm -rf .venv/jax && \
		$(VENV)/python -m pip install --quiet --quiet --no-deps --require-hashes --disable-pip-version-check \
			--target .venv/jax --requirement requirements-jax.lock && \
		echo '$(JAX_ON_PATH)' > "$$($(VENV)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/jax.pth" && \
		cp requirements-jax.lock .venv/jax/installed; }

# Programs that tests need besides the lock: a browser, and SSH and PostgreSQL servers, as Debian packages. Playwright
# would download a browser that no lock pins.
programs:
	@missing=; \
	command -v chromium >/dev/null || missing="$$missing chromium"; \
	test -x /usr/sbin/sshd || missing="$$missing openssh-server"; \
	ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || missing="$$missing postgresql"; \
	test -z "$$missing" || { \
		command -v apt-get >/dev/null && test "$$(id -u)" = 0 && \
		echo "Installing for the tests, once:$$missing" && \
		apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $$missing >/dev/null; } || \
		echo "Not installed:$$missing. The tests that need them will be skipped."

# uv, because its locks hold no registry addresses, and because it can leave out a requirement of keras-hub.
UV_OPTIONS = --universal --python-version 3.11 --generate-hashes --no-annotate --quiet --custom-compile-command "make lock"
UV_COMPILE = uv pip compile pyproject.toml --group dev --group docs $(UV_OPTIONS)
lock: ## Resolve the dependencies again; needs uv
	$(UV_COMPILE) --extra cpu --output-file requirements.lock
	$(UV_COMPILE) --extra gpu --output-file requirements-gpu.lock
	uv pip compile --group jax --constraint requirements.lock $(UV_OPTIONS) --output-file requirements-jax.lock \
		$(addprefix --no-emit-package ,ml-dtypes numpy opt-einsum)
