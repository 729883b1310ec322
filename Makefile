# make help | book | test | lab | play | bench | clean        (PYTHON=python3.12 chooses the Python)

PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python

# One thread a process: small networks lose with two, and two chapters run at once.
export OMP_NUM_THREADS := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# The environment is ready when a file named after this Python and this folder stands in it;
# it is written last, so that an environment made half-way never counts.
IDENTITY := $(shell $(PYTHON) -c 'import os, sys, zlib; print("%d.%d.%d-%x" % (sys.version_info[:3] + (zlib.crc32((sys.base_prefix + os.getcwd()).encode()),)))' 2>/dev/null)
READY    := $(VENV)/ready-$(IDENTITY)

define RIGHT_PYTHON
$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "The book needs Python 3.11, 3.12 or 3.13, and '$(PYTHON)' is not one: say, for example, make book PYTHON=python3.12" >&2; exit 1; }
endef

# The game alone needs three packages, and an environment that is made within a minute.
GAME_VENV  := $(VENV)-game
GAME_READY := $(GAME_VENV)/ready-$(IDENTITY)

.PHONY: help book test lab play bench clean
.DEFAULT_GOAL := help

help:
	@echo "make book    execute the chapters and build the book"
	@echo "make test    prove that everything works"
	@echo "make lab     open the chapters in JupyterLab"
	@echo "make play    open a window and play Flappy Bird in physics of your choice"
	@echo "make bench   compare speed with the field's libraries"
	@echo "make clean   remove the environment and everything built"
	@echo "PYTHON=python3.12 after any of them chooses the Python (3.11 to 3.13)"

book: $(READY)
	@$(PY) book/build.py

test: $(READY)
	$(PY) -m ruff format --check
	$(PY) -m ruff check
	$(VENV)/bin/lint-imports
	$(PY) -m pytest -q -n 2 --ignore=tests/browser
	$(PY) -m pytest -q -n 2 --dist loadfile --nbval-lax book chapters
	$(PY) book/build.py
	$(PY) tests/browser/chromium.py
	$(PY) -m pytest -q -n 2 tests/browser

lab: $(READY)
	$(PY) -m jupyterlab --LabApp.default_url=/lab/tree/chapters $(if $(filter 0,$(shell id -u)),--allow-root)

play: $(if $(wildcard $(READY)),,$(GAME_READY))
	@$(if $(wildcard $(READY)),$(VENV),$(GAME_VENV))/bin/python -m metarl_lite.play

bench: $(READY)
	@for script in experiments/bench_*.py; do $(PY) $$script || exit 1; done

clean:
	rm -rf $(VENV) $(GAME_VENV) _build .pytest_cache .ruff_cache .import_linter_cache .hypothesis

$(READY): requirements.txt pyproject.toml
	@$(RIGHT_PYTHON)
	@echo "Making $(VENV) with $(PYTHON) (some minutes the first time)"
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV)
	@$(PY) -m pip install -qq --requirement requirements.txt
	@$(PY) -m pip install -qq --no-deps --no-build-isolation --editable .
	@touch $@

$(GAME_READY): requirements.txt
	@$(RIGHT_PYTHON)
	@echo "Making $(GAME_VENV) with $(PYTHON)"
	@rm -rf $(GAME_VENV)
	@$(PYTHON) -m venv $(GAME_VENV)
	@$(GAME_VENV)/bin/python -m pip install -qq --constraint requirements.txt gymnasium numpy pygame
	@touch $@
