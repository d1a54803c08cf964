#!/bin/sh
# Runs pgTAP files in a database of their own, on the server that libpq's environment names, with pg_prove where it is
# installed, else with psql. Ends with 0 if all of them hold.
#
# usage: run.sh FILE...

set -eu

database=pgchaos_installcheck_$$
said=$(mktemp)
trap 'rm -f "$said"; dropdb --if-exists --force "$database" >/dev/null 2>&1 || :' EXIT
trap 'exit 130' HUP INT TERM

createdb --template=template0 "$database"
psql -X -q -v ON_ERROR_STOP=1 -d "$database" -c 'CREATE EXTENSION pgtap' -c 'CREATE EXTENSION pgchaos' || {
    echo 'run.sh: both extensions must be installed on the server: pgTAP (https://pgtap.org), and this one (make install)' >&2
    exit 2
}

if command -v pg_prove >/dev/null 2>&1; then
    pg_prove --dbname "$database" "$@"
    exit
fi

# As a TAP consumer does: each line `ok N` or `not ok N`, and a plan that says how many there are.
judge='
    /^[0-9]+\.\.[0-9]+/ { split($1, range, "[.][.]"); plan = range[2]; planned++ }
    /^ok/ { run++ }
    /^not ok/ { run++; if (!/# TODO/) failed++ }
    END {
        if (planned != 1) { print "no plan, or more than one"; exit 1 }
        if (run != plan) { printf "planned %d tests and ran %d\n", plan, run; exit 1 }
        if (failed) { printf "%d of %d failed\n", failed, run; exit 1 }
        if (broken) { print "psql ended with an error"; exit 1 }
        printf "%d held\n", run
    }'
bad=0
for file; do
    broken=0
    psql -X -q -A -t -v ON_ERROR_STOP=1 -d "$database" -f "$file" >"$said" 2>&1 || broken=1
    if verdict=$(awk -v broken=$broken "$judge" "$said"); then
        echo "ok      ${file##*/}: $verdict"
    else
        echo "FAILED  ${file##*/}: $verdict"
        cat "$said"
        bad=1
    fi
done
exit $bad
