# The first target that runs makes the environment from nothing. It stays until pyproject.toml or constraints.txt change.
# PYTHON=... chooses the interpreter. The default is the newest one that really runs (a shim may only print an error).
# constraints.txt locks the version of every package; `make lock` renews it.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BENCH_STAMP := $(VENV)/.installed-bench
DOCS_STAMP := $(VENV)/.installed-docs
FIELD_STAMP := $(VENV)/.installed-field
LOCK := constraints.txt
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check
ARTIFACTS := artifacts
SUITABLE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for candidate in python3.14 python3.13 python3.12 python3.11 python3; do \
	if $$candidate --version >/dev/null 2>&1 && $$candidate -c '$(SUITABLE)' >/dev/null 2>&1; then \
	echo $$candidate; break; fi; done)

.PHONY: help demo dist test test-versions test-environments field test-aarch64 check check-protocol format soak bench screenshots docs lock clean

help:
	@echo "make demo    run examples/pool.py and show its recording"
	@echo "make test    run every test but the long ones"
	@echo "make test-versions  test with each minor release of rerun-sdk from 0.32 on, in environments of their own"
	@echo "make test-environments  run programs beside packages that pin rerun-sdk; downloads several GB"
	@echo "make field   install the servers, launchers and freezers that tests start if they are there (needs a compiler)"
	@echo "make test-aarch64  shared memory and killed pools on an emulated arm64 machine; long (needs qemu and Debian)"
	@echo "make check   formatting, lint and types"
	@echo "make check-protocol  every model of the protocol, in 90 s (needs spin and gcc)"
	@echo "make format  correct the formatting"
	@echo "make soak    ten minutes of random faults, then the long tests; SOAK_SECONDS=... for longer or shorter"
	@echo "make screenshots  make the documentation's pictures again, with the real viewer"
	@echo "make dist    build sdist and wheel, check them, and run the wheel alone on each Python that is installed"
	@echo "make docs    build the documentation as a site in artifacts/site, and check its links"
	@echo "make lock    renew constraints.txt, the versions of all tools (needs $(OLDEST_PYTHON))"
	@echo "make bench   measure, beside rerun-sdk and other transports, into artifacts/bench.md and .svg; ARGS=--quick: a trial"

$(STAMP): pyproject.toml $(LOCK)
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer with venv and ensurepip is needed; say where: make PYTHON=..."; exit 1; }
	@test -x $(BIN)/python && $(BIN)/python -c '' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python $(PIP_INSTALL) --constraint $(LOCK) --editable '.[test,dev,examples]'
	@touch $(STAMP)

demo: $(STAMP)
	@mkdir -p $(ARTIFACTS)
	RUST_LOG=error $(BIN)/python examples/pool.py --out $(ARTIFACTS)/pool.rrd --show auto

# Tests wait for half of their time, so there are twice as many workers as processors.
TEST_WORKERS ?= $(shell expr 2 \* $$(nproc))

test: $(STAMP)
	$(BIN)/python -m pytest --numprocesses=$(TEST_WORKERS) --dist=worksteal --durations=20

$(FIELD_STAMP): $(STAMP)
	$(BIN)/python $(PIP_INSTALL) --constraint $(LOCK) --editable '.[field,hosts]'
	@touch $(FIELD_STAMP)

field: $(FIELD_STAMP)

test-aarch64: $(STAMP)
	nice $(BIN)/python -m tests.aarch64 $(ARGS)

# VERSIONS="0.32 0.41" tests these releases only.
test-versions: $(STAMP)
	$(BIN)/python -m tests.versions $(VERSIONS)

# ENVIRONMENTS="gradio dimos" tries these only.
test-environments: $(STAMP)
	$(BIN)/python -m tests.environments $(ENVIRONMENTS)

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy --strict

check-protocol: $(STAMP)
	$(BIN)/python -m tests.protocol

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

SOAK_SECONDS ?= 600

soak: $(STAMP)
	$(BIN)/python -m tests.soak --seconds $(SOAK_SECONDS)
	$(BIN)/python -m tests.hosts.faults --faults 50
	$(BIN)/python -m pytest -m soak
	$(BIN)/python -m pytest -m hypothesis --hypothesis-profile=soak

screenshots: $(STAMP)
	RUST_LOG=error $(BIN)/python examples/screenshots.py

$(DOCS_STAMP): $(STAMP)
	$(BIN)/python $(PIP_INSTALL) --constraint $(LOCK) --editable '.[docs]'
	@touch $(DOCS_STAMP)

docs: $(DOCS_STAMP)
	$(BIN)/python -m tests.docs.site

$(BENCH_STAMP): $(STAMP)
	$(BIN)/python $(PIP_INSTALL) --constraint $(LOCK) --editable '.[bench]'
	@touch $(BENCH_STAMP)

bench: $(BENCH_STAMP)
	$(BIN)/python -m benchmarks $(ARGS)

# The oldest supported Python finds releases that all supported Pythons can install.
OLDEST_PYTHON ?= python3.11
LOCK_VENV := $(VENV)-lock

# PYTHONS="python3.11 /path/to/python3.14" chooses the interpreters.
dist: $(STAMP)
	$(BIN)/python $(PIP_INSTALL) --constraint $(LOCK) --editable '.[release]'
	rm -rf dist
	$(BIN)/python -m build --outdir dist .
	$(BIN)/python -m twine check --strict dist/*
	$(BIN)/python -m tests.release $(PYTHONS)

lock:
	$(OLDEST_PYTHON) -m venv --clear $(LOCK_VENV)
	$(LOCK_VENV)/bin/python $(PIP_INSTALL) --editable '.[test,dev,examples,bench,docs,field,hosts,release]'
	{ sed -n '/^#/p' $(LOCK); $(LOCK_VENV)/bin/python -m pip freeze --all --exclude pip --exclude-editable; } > $(LOCK).new
	mv $(LOCK).new $(LOCK)
	rm -rf $(LOCK_VENV)

clean:
	rm -rf $(VENV) $(VENV)-versions $(VENV)-environments $(LOCK_VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis $(ARTIFACTS)
