# Everything is in packaging/bootstrap.py, so that Windows and macOS have it too.
# PYTHON chooses the interpreter: make setup PYTHON=python3.12
PYTHON ?= python3
ARGS ?=

.PHONY: setup run test binary lock

setup: ## make the machine ready: system packages, .venv, the web page
	@$(PYTHON) packaging/bootstrap.py setup

run: ## set up, then start Brimline (tray, or the server alone without a screen)
	@$(PYTHON) packaging/bootstrap.py run $(ARGS)

test: ## set up, then every check and test; ARGS go to pytest
	@$(PYTHON) packaging/bootstrap.py test $(ARGS)

binary: ## set up, then build the one-file program dist/brimline; ARGS=--test tries the desktop on it
	@$(PYTHON) packaging/bootstrap.py binary $(ARGS)

# Maintainers only: write the lock files anew from pyproject.toml and packaging/*.in.
# UPGRADE=--upgrade moves to the newest versions; without it only what changed moves.
UV := build/uv/bin/uv
COMPILE := $(UV) pip compile --quiet --generate-hashes --no-emit-index-url \
	--python-version 3.11 --custom-compile-command "make lock" $(UPGRADE)

lock: $(UV)
	$(COMPILE) --universal pyproject.toml packaging/runtime.in -o packaging/runtime.lock
	$(COMPILE) --universal packaging/dev.in -o packaging/dev.lock
	$(COMPILE) --universal packaging/node.in -o packaging/node.lock
	$(COMPILE) --python-platform linux packaging/linux-desktop.in -o packaging/linux-desktop.lock

$(UV):
	$(PYTHON) -m venv build/uv
	build/uv/bin/pip install --quiet uv
