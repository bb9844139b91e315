# The verbs of this project. `make run` and `make test` need git, make and Python 3.11 to 3.13, nothing else:
# each makes .venv from the lock when it is missing or stale.
#   make run      build, train and score the published systems; GPU=1 takes the CUDA build of TensorFlow
#   make improved the same for the improved systems
#   make test     every test                  make check    lint, types and fast tests, under a minute
#   make server   a Prefect server and worker that run the deployments of prefect.yaml on this machine
#   make bench    the benchmarks, hours       make lock     resolve the dependencies anew (needs uv)

PYTHON ?= python3
LOCK := requirements$(if $(filter 1,$(GPU)),-gpu,).lock
VENV := .venv/bin
TWO_AT_ONCE := --numprocesses 2 --dist loadfile --no-loadscope-reorder # by files, so that what a file needs is made once
PUBLISHED := digits_localizer rectangle_localizer snack_localizer coco_yolo coco_retinanet
IMPROVED := digits_distributional_localizer rectangle_distributional_localizer snack_distributional_localizer coco_anchor_free_detector coco_retinanet_coarse
export DVC_NO_ANALYTICS := 1

.PHONY: run improved test check server bench lock environment programs

run: SYSTEMS := $(PUBLISHED)
improved: SYSTEMS := $(IMPROVED)
run improved: environment
	@$(VENV)/python -m pipeline.cli.params
	@$(VENV)/python -m dvc repro $(addprefix evaluate@,$(SYSTEMS))
	@$(VENV)/python -m pipeline.cli.summary

test: environment programs
	@$(VENV)/python -m pytest $(TWO_AT_ONCE)

check: environment
	@$(VENV)/python -m ruff check
	@$(VENV)/python -m ruff format --check
	@$(VENV)/python -m mypy
	@$(VENV)/python -m pytest $(TWO_AT_ONCE) -m "not slow and not real_data"

server: environment
	@$(VENV)/python -m flows.server

bench: environment
	@$(VENV)/python -m benchmarks.run
	@$(VENV)/python -m benchmarks.accuracy
	@$(VENV)/python -m benchmarks.ablations
	@$(VENV)/python -m benchmarks.misalignment

# The lock holds every package with hashes, so there is nothing to resolve. The stamp in .venv tells a stale one by
# content, the lock's and Python's version: timestamps say nothing after a checkout or a change between CPU and GPU.
environment:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
		echo "Boxline needs Python 3.11 to 3.13; name one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@stamp=$$($(PYTHON) --version; cat $(LOCK)); \
	test "$$stamp" = "$$(cat .venv/installed 2>/dev/null)" || { \
		echo "Making .venv from $(LOCK); this takes a minute or two, once."; \
		rm -rf .venv && \
		$(PYTHON) -m venv .venv && \
		$(VENV)/python -m pip install --quiet --quiet --compile --no-deps --require-hashes \
			--disable-pip-version-check --requirement $(LOCK) && \
		$(VENV)/python -m pip install --quiet --quiet --no-deps --no-build-isolation --no-index \
			--disable-pip-version-check --editable . && \
		echo "$$stamp" > .venv/installed; }

# What tests need beside the lock: a browser, SSH and PostgreSQL servers. Debian's packages, where they may be installed;
# Playwright's own browser is a download that no lock holds.
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

# uv, because its locks are free of registry addresses and it can leave out what keras-hub asks for and does not use.
UV_COMPILE = uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes \
	--no-annotate --quiet --custom-compile-command "make lock"
lock:
	$(UV_COMPILE) --extra cpu --output-file requirements.lock
	$(UV_COMPILE) --extra gpu --output-file requirements-gpu.lock
