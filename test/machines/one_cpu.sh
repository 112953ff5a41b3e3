#!/bin/bash
# one_cpu.sh LIBRARY PROGRAM: on one processor, as in a container with such a quota, there are as many heaps as threads
# lived at once; threads that come and go take over the heaps of those before them.
set -u
library=$(realpath -e "$1") && program=$2 || exit 1
command -v taskset >/dev/null || { echo "SKIPPED: no taskset"; exit 0; }
cpu=$(taskset -cp $$ | sed 's/.*: \([0-9]*\).*/\1/')
failed=0

# expect HEAPS KIB THREADS [one]: at most so many heaps, and so much in memory.
expect() {
    local most=$1 limit=$2 out rss heaps
    shift 2
    out=$(OSMEM_CONF=stats_print:on LD_PRELOAD=$library taskset -c "$cpu" "$program" "$1" 0 ${2:+"$2"} 2>&1)
    rss=$(sed -n '1s/ .*//p' <<<"$out")
    heaps=$(sed -n 's/.* bytes in \([0-9]*\) heaps/\1/p' <<<"$out")
    echo "$1 threads ${2:+$2 after the other}: $heaps heaps, resident $rss KiB; glibc:" \
        "$(taskset -c "$cpu" "$program" "$1" 0 ${2:+"$2"} | sed 's/ .*//') KiB"
    [ -n "$heaps" ] && [ "$heaps" -le "$most" ] && [ "$rss" -le "$limit" ] || {
        echo "FAILED: at most $most heaps and $limit KiB were promised"
        failed=1
    }
}

expect 2 5000 200 one
expect 65 18000 64
exit $failed
