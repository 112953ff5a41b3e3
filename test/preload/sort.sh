#!/bin/bash
# sort: in memory with threads, with temporary files, and merging.
. "$(dirname "$0")/preload.sh"
need sort awk
loads sort --version

workload() {
    awk 'BEGIN { s = 1; for (i = 0; i < 200000; i++) { s = (s * 1103515245 + 12345) % 2147483648; print s, i, "some text" } }' >unsorted
    sort --parallel=4 unsorted | cksum
    sort -n -k2,2r --parallel=2 -S 1M -T . unsorted >a || return 1
    cksum a
    sort -u -k1,1 unsorted | wc -l
    sort -n unsorted >b && sort -rn unsorted | sort -n -m - b | cksum
    sort -V unsorted | tail -n 3
    sort -R --random-source=unsorted unsorted | cksum
}
compare
