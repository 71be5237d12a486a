# Every target makes what it needs in .venv. Needs: make, a Python >= 3.11, a package index.
# Keeps to what GNU make 3.81 knows, which is what macOS has.

PYTHON ?= python3
export PYTHON

VENV := .venv/bin/python
SOAK = chaos-results/soak
TESTS =
COVERAGE = --cov --cov-report=term
UV_COMPILE = $(VENV) -m uv pip compile --quiet --universal --python-version 3.11 \
	--generate-hashes --only-binary :all: --no-strip-extras --emit-build-options \
	--no-header --no-emit-index-url --no-emit-find-links $(LOCK_ARGS)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test bench lab soak lint shop docs wheel lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-6s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "PYTHON=python3.12 names another Python (after a make clean); UV= does without uv."

demo: .venv/installed-demo ## what deleting keys costs, and what unstale costs, on a real server
	$(VENV) -m demo

test: .venv/installed-test .venv/django-tests ## the whole suite, with branch coverage (TESTS="tests/test_x.py -k name")
	$(VENV) -m pytest $(COVERAGE) $(TESTS)

bench: .venv/installed-bench ## the figures that the design promises, side by side
	$(VENV) -m bench

lab: .venv/installed-lab ## the whole investigation replayed and measured, with a report (LAB="--rate 30 -v unstale")
	$(VENV) -m unstale lab $(LAB)

soak: .venv/installed-test ## the promise tried for two and a half hours: every phase, all faults mixed, failovers (SOAK=folder, CHAOS="--server redis-server")
	@failed=0; \
	$(VENV) -m unstale chaos --seconds 20 --peers $(CHAOS) --out $(SOAK)/phases || failed=1; \
	$(VENV) -m unstale chaos --phase mixed --seconds 1800 --seed 1 --writes 150 $(CHAOS) --out $(SOAK)/mixed || failed=1; \
	$(VENV) -m unstale chaos --phase long-outage --calm 0 $(CHAOS) --out $(SOAK)/outage || failed=1; \
	UNSTALE_SOAK=1 $(VENV) -m pytest -m soak -p no:cacheprovider tests/test_sentinel_promotions.py tests/test_cluster_changes.py || failed=1; \
	exit $$failed

lint: .venv/installed-lint .venv/installed-test ## ruff, mypy, and the layering rule
	$(VENV) -m ruff check
	$(VENV) -m ruff format --check
	$(VENV) -m mypy
	$(VENV) -m pytest -q tests/test_layering.py

shop: .venv/installed-shop ## the article's application: Django, DRF, four processes, one cache (PORT, WORKERS)
	$(VENV) examples/shop

docs: .venv/installed-docs ## docs/_build/html: guides and reference
	$(VENV) -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

wheel: .venv/installed-build ## dist/*.whl, as it would be published
	$(VENV) -m hatchling build --target wheel

lock: .venv/installed-lock ## requirements/*.txt anew from pyproject.toml (LOCK_ARGS=--upgrade)
	$(UV_COMPILE) pyproject.toml --all-extras --group test -o requirements/test.txt
	$(UV_COMPILE) pyproject.toml --extra demo -c requirements/test.txt -o requirements/demo.txt
	$(UV_COMPILE) pyproject.toml --extra demo --group bench -c requirements/test.txt -o requirements/bench.txt
	$(UV_COMPILE) pyproject.toml --extra drf --extra embedded --group shop -c requirements/test.txt -o requirements/shop.txt
	$(UV_COMPILE) pyproject.toml --extra lab -c requirements/test.txt -o requirements/lab.txt
	$(UV_COMPILE) pyproject.toml --extra drf --extra celery --group docs -c requirements/test.txt -o requirements/docs.txt
	$(UV_COMPILE) --group lint -c requirements/test.txt -o requirements/lint.txt
	$(UV_COMPILE) --group build -c requirements/test.txt -c requirements/lint.txt -o requirements/build.txt
	$(UV_COMPILE) --group lock -o requirements/lock.txt

clean: ## remove .venv and everything else that was made
	rm -rf docs/_build .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage .coverage[.-]* dist
	find src tests examples demo bench -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

.venv/pyvenv.cfg:
	@tools/bootstrap.sh venv

.venv/django-tests: .venv/installed-test
	@tools/bootstrap.sh django-tests
	@touch $@

.venv/installed-%: requirements/%.txt .venv/pyvenv.cfg
	@tools/bootstrap.sh install $*
	@touch $@
