# Everything sets itself up: a fresh machine needs Python 3.11+ and make, nothing else.
#   make run     serve on http://localhost:4000 (the first run writes config/plexus.yaml)
#   make test    the test suite

PYTHON ?= python3
JOBS ?= auto
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: run test test-long lint format bench wheel lock catalogue clean

run: $(VENV)/.run
	$(BIN)/plexus-proxy serve $(ARGS)

# Many tests measure time; what fails beside others on a busy machine is run once more, alone.
test: $(VENV)/.dev
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m "not long" $(ARGS) || \
	$(BIN)/python -m pytest --last-failed --last-failed-no-failures none -m "not long" $(ARGS)

# Deep property runs, soak and large databases.
test-long: $(VENV)/.dev
	$(BIN)/python -m pytest -n $(JOBS) -m long --timeout 3600 $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.dev
	$(BIN)/python -m bench $(ARGS)

wheel: $(VENV)/.dev
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

# Pins what pyproject.toml and requirements/*.in ask for. Existing pins stay unless
# ARGS=--upgrade or ARGS="--upgrade-package NAME".
LOCK := CUSTOM_COMPILE_COMMAND="make lock" build/lock/bin/pip-compile --quiet --generate-hashes \
	--strip-extras --allow-unsafe --no-emit-index-url --no-emit-find-links --no-emit-trusted-host

lock:
	$(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip --disable-pip-version-check --quiet install pip-tools
	$(LOCK) $(ARGS) --output-file requirements/runtime.txt pyproject.toml
	$(LOCK) $(ARGS) --output-file requirements/build.txt requirements/build.in
	$(LOCK) $(ARGS) --output-file requirements/dev.txt pyproject.toml requirements/dev.in

# Context lengths and prices of vendors' models anew, as of today.
catalogue:
	$(PYTHON) -m venv build/catalogue
	build/catalogue/bin/python -m pip --disable-pip-version-check --quiet install genai-prices
	build/catalogue/bin/python catalogue/extract.py

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name it with: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(VENV)/bin/python requirements/runtime.txt requirements/build.txt pyproject.toml
	$(PIP) install --require-hashes -r requirements/runtime.txt -r requirements/build.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements/dev.txt
	$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@
