# make run    everything by itself: a virtual environment, a database, a running server
# make test   what the tests need, then the whole suite
# make help   the others
SHELL := /bin/sh
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CONSTRAINTS := constraints.txt
# 110: slices of a long loop do checkpoint in it; 114, 128: they want every startable listed by its bare name, `run`
ASYNC_OFF := ASYNC110,ASYNC114,ASYNC128
DEBIAN_PACKAGES := sip-tester kamailio kamailio-tls-modules kamailio-sqlite-modules kamailio-mysql-modules mariadb-server

.PHONY: help run compiled test check bench docs format lock clean

help:  ## what can be made
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

run: $(VENV)/.run  ## set up what is missing and run sipd in the foreground
	@exec $(BIN)/sipd $(ARGS)

compiled: $(VENV)/.run  ## compile the hot modules and install that form in place of the plain one
	@HATCH_BUILD_HOOK_ENABLE_CUSTOM=true $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  --no-deps --force-reinstall .

test: $(VENV)/.dev tools  ## install what the tests need and run the whole suite
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

check: $(VENV)/.dev  ## lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/flake8-async --enable=ASYNC1,ASYNC2 --disable=$(ASYNC_OFF) $$(git ls-files 'sipd/*.py' | xargs grep -l 'async ')

format: $(VENV)/.dev  ## bring every file into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.dev  ## CPU per operation, beside Kamailio where that is installed
	$(BIN)/python -m tests.bench $(ARGS)

docs: $(VENV)/.dev  ## the documentation as HTML in docs/_build
	$(BIN)/python -m docs.reference
	$(BIN)/sphinx-build -W -q -b html docs docs/_build

lock: $(VENV)/.dev  ## write the versions in use to the lock file: with the oldest Python that must work
	$(BIN)/python -m pip freeze --exclude-editable --exclude pip --exclude setuptools > $(CONSTRAINTS)

clean:  ## remove what was made
	rm -rf $(VENV) build dist docs/_build .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "sipd needs Python 3.11 or newer; $(PYTHON) is older. Name another: make PYTHON=python3.12 run" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
	  echo "$(PYTHON) can't make a virtual environment. On Debian: apt-get install python3-venv" >&2; exit 1; }

$(VENV)/.run: $(VENV)/bin/python pyproject.toml $(CONSTRAINTS)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS) -e .
	@touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml $(CONSTRAINTS)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS) -e . --group dev
	@touch $@ $(VENV)/.run

.PHONY: tools
tools:  # the SIP phones of the end-to-end tests, the other proxy of tests/interop, the database server of tests/store
	@PATH="$$PATH:/usr/sbin"; command -v sipp >/dev/null && command -v kamailio >/dev/null \
	  && command -v mariadbd >/dev/null && command -v mariadb-install-db >/dev/null \
	  && ( for module in tls db_sqlite db_mysql; do \
	    ls /usr/lib*/kamailio/modules/$$module.so /usr/lib*/*/kamailio/modules/$$module.so 2>/dev/null | grep -q . || exit 1; \
	  done ) || { \
	  if [ -e /etc/debian_version ] && [ "$$(id -u)" = 0 ]; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $(DEBIAN_PACKAGES); \
	  else \
	    echo "the tests need sipp, kamailio and mariadbd (Debian and Ubuntu: sudo apt-get install $(DEBIAN_PACKAGES))" >&2; exit 1; \
	  fi; }
