#!/bin/bash
# formats.sh LIBRARY TOOL PROGRAM: statistics at exit in each format, to standard error and to files, and those of a
# running process as the tool tells them from outside: in each mode the same numbers as from inside, to the byte.
set -eu
library=$(realpath "$1")
tool=$(realpath "$2")
program=$(realpath "$3")
here=$(realpath test/observe)
cd "$(mktemp -d "${TEST_TMPDIR:-/tmp}/formats.XXXXXX")"

fail() {
    echo "FAILED: $*"
    exit 1
}
with() { env LD_PRELOAD="$library" OSMEM_CONF="$1" "${@:2}"; }

# ---- at exit

with stats_print:json true 2>err || fail "true failed"
python3 -c 'import json; print(json.load(open("err"))["osmem"]["stats"]["allocated"])' >out || fail "no JSON: $(cat err)"
with stats_print:prometheus true 2>err || fail "true failed"
python3 -B "$here/prometheus.py" err || fail "no exposition: $(cat err)"
with stats_print:text true 2>err
grep -q '^osmem: statistics of process ' err || fail "no table: $(cat err)"

for format in text json prometheus; do
    with "stats_print:$format,stats_file:$PWD/$format" true 2>err || fail "true failed"
    [ ! -s err ] || fail "stats_file: $(cat err)"
done
ls text.*.txt json.*.json prometheus.*.prom >/dev/null || fail "no files: $(ls)"
python3 -c 'import glob, json; json.load(open(glob.glob("json.*.json")[0]))'
python3 -B "$here/prometheus.py" prometheus.*.prom
[ "$(stat -c %a json.*.json)" = 600 ] || fail "a file that others may read"

with "stats_print:json,stats_file:/no/such/folder/x" true 2>err || fail "true failed"
[ "$(cat err)" = "osmem: no statistics: their file could not be written; errno: 0x2" ] || fail "$(cat err)"

# stats_file alone asks for nothing.
with "stats_file:$PWD/alone" true 2>err
[ -z "$(ls | grep alone || true)" ] || fail "stats_file alone writes a file"

# ---- from outside

[ "$("$tool" stats 2>&1)" = "osmem stats: the statistics of what? --pid PID or --from FILE (see 'osmem stats --help')" ] ||
    fail "no usage error"
for label in x 1a=b heap=1 a-b=c =x; do
    ! "$tool" stats --prometheus --label "$label" --pid 1 2>err || fail "took the label $label"
    grep -q -- --label err || fail "$(cat err)"
done

# The program prints its own statistics and waits, and stands still while it does.
compare() {
    local conf=$1 child status=0
    mkfifo go
    env LD_PRELOAD="$library" OSMEM_CONF="$conf" "$program" inside.json map.osmap <go &
    child=$!
    exec 9>go
    for _ in $(seq 200); do
        [ -e map.osmap.done ] && break
        sleep 0.05
    done
    [ -e map.osmap.done ] || fail "the program does not come to its wait"
    "$tool" stats --json --pid "$child" >outside.json 2>err || status=$?
    if [ "$status" -eq 0 ]; then
        "$tool" stats --prometheus --label 'service=a "b" \c' --pid "$child" >outside.prom
        "$tool" stats --pid "$child" >outside.txt
    fi
    exec 9>&-
    wait "$child" || fail "the program failed"
    rm go
    "$tool" stats --json --from map.osmap >map.json
    rm -f map.osmap map.osmap.done
    if [ "$status" -ne 0 ]; then
        grep -q ptrace err || fail "$(cat err)"
        echo "SKIPPED: no process may be looked into here: $(cat err)"
        return
    fi
    python3 -B "$here/compare.py" inside.json outside.json map.json "$conf" || fail "with OSMEM_CONF=$conf"
    python3 -B "$here/prometheus.py" outside.prom || fail "$(cat outside.prom)"
    grep -q 'osmem_heaps{service="a \\"b\\" \\\\c"} ' outside.prom || fail "no label: $(cat outside.prom)"
    grep -q "^osmem: statistics of process $child$" outside.txt || fail "$(cat outside.txt)"
}
for conf in "" requested:on guard:on probes:on; do
    compare "$conf"
done
echo passed
