# Everything runs from a clone on a machine with Python 3.11, git and make.
PYTHON ?= python3
VENV := .venv
OUT ?= out/quick
RECIPE ?= quick
READY := $(VENV)/.ready

.PHONY: study laptop test test-slow lint bench browser clean

study: $(READY)  ## the main job: train, fit, report
	$(VENV)/bin/isobyte study run $(RECIPE) --out $(OUT) --json

laptop: $(READY)
	$(VENV)/bin/isobyte study run laptop --out out/laptop --json

test: $(READY) browser lint  ## linters, types, layers and the tests
	$(VENV)/bin/python -m pytest -n 2

test-slow: $(READY)  ## long checks: interval coverage, kill and resume of whole studies
	$(VENV)/bin/python -m pytest -m slow

lint: $(READY)
	$(VENV)/bin/ruff check src tests scripts
	$(VENV)/bin/ruff format --check src tests scripts
	$(VENV)/bin/pyright
	$(VENV)/bin/lint-imports

bench: $(READY)
	$(VENV)/bin/isobyte bench train --json

# The report is looked at in a real browser. Debian's headless Chromium; any chromium on PATH will do.
browser:
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq chromium >/dev/null; } \
	  || { echo "the browser test needs chromium: install it, or set ISOBYTE_NO_BROWSER=1"; [ -n "$$ISOBYTE_NO_BROWSER" ]; }

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install -q -c constraints.txt torch
	$(VENV)/bin/pip install -q -c constraints.txt -e '.[dev]'
	touch $(READY)

clean:
	rm -rf $(VENV) out dist .pytest_cache .hypothesis .ruff_cache
