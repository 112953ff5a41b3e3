#!/bin/bash
# OSMEM_CONF=stats_print:on: a table on standard error when the program ends, and only there.
# Arguments: the library, a program that closes its standard error and opens a file in its place.
set -eu
library=$(realpath "$1")
closer=$(realpath "$2")
cd "$(mktemp -d "${TEST_TMPDIR:-/tmp}/stats.XXXXXX")"

fail() {
    echo "$*"
    exit 1
}
with() { env LD_PRELOAD="$library" OSMEM_CONF="$1" "${@:2}"; }
has_table() { grep -q '^osmem: statistics of process ' "$1" && grep -Eq '^  allocated +[0-9]+ bytes in [0-9]+ blocks$' "$1"; }

with stats_print:on true 2>err || fail "true failed"
has_table err || fail "no table: $(cat err)"

for conf in "" stats_print:off; do
    with "$conf" true 2>err || fail "true failed"
    [ ! -s err ] || fail "OSMEM_CONF=$conf prints $(cat err)"
done

# sort closes both of its streams in a handler of exit, before destructors run.
printf 'b\na\n' | with stats_print:on sort >out 2>err || fail "sort failed"
[ "$(cat out)" = $'a\nb' ] || fail "sort printed $(cat out)"
has_table err || fail "no table when standard error is closed at exit: $(cat err)"

# All descriptors closed, and files opened at the same numbers: nothing may land in them.
for how in standard-error all; do
    rm -f file
    with stats_print:on "$closer" "$how" file 2>err || fail "$closer failed"
    [ ! -s file ] || fail "$how: a report in the program's file: $(cat file)"
done
with stats_print:on "$closer" standard-error file 2>err
has_table err || fail "no table when standard error was reopened"

# No standard error from the start.
with stats_print:on true 2>&- || fail "true failed without standard error"

# Numbers are aligned.
with stats_print:on true 2>err
widths=$(sed -nE 's/^(  [a-z]+ +[0-9]+) (bytes|calls).*/\1/p' err | awk '{print length}' | sort -u | wc -l)
[ "$widths" = 1 ] || fail "not aligned: $(cat err)"
echo passed
