#!/bin/bash
# heaptrack.sh LIBRARY_PROGRAM PLAIN_PROGRAM DROP_IN: heaptrack sees the blocks of os_malloc, and those of malloc served by
# the drop-in when that is preloaded behind it.
set -eu
program=$(realpath "$1")
plain=$(realpath "$2")
drop_in=$(realpath "$3")
cd "$(mktemp -d "${TEST_TMPDIR:-/tmp}/heaptrack.XXXXXX")"

command -v heaptrack >/dev/null || { echo "SKIPPED: no heaptrack here (Debian: heaptrack)"; exit 0; }

# track PROGRAM MISTAKE: sets `calls` and `leaked` to how many blocks heaptrack counts.
track() {
    timeout 60 heaptrack -o trace "$@" >log 2>&1 || { echo "FAILED: heaptrack: $(cat log)"; exit 1; }
    calls=$(sed -nE 's/^\s*allocations:\s+([0-9]+)$/\1/p' log)
    leaked=$(sed -nE 's/^\s*leaked allocations:\s+([0-9]+)$/\1/p' log)
    [ -n "$calls" ] || { echo "SKIPPED: heaptrack does not work here: $(cat log)"; exit 0; }
}
expect() { # CONDITION...
    [ "$@" ] || { echo "FAILED: not $*: $(cat log)"; exit 1; }
}
track "$program" none
own=$calls
expect "$calls" -gt 10000
expect "$leaked" -eq 0
# Three, and what the C library itself never frees.
track "$program" leak
expect "$calls" -ge 3
expect "$leaked" -ge 3

export LD_PRELOAD=$drop_in
track "$plain" none
expect "$calls" -eq "$own"
expect "$leaked" -eq 0
echo passed
