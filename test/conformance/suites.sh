#!/bin/bash
# Self-tests of large installed programs, without the library and with it: each single test has to end alike, in every
# process that they start. By hand, because it takes minutes.
. "$(dirname "$0")/../preload/preload.sh"
need python3
python=$(python3 -c 'import sys; print(sys.executable)') || skip "python3 does not work"
"$python" -c 'import test.test_json' 2>/dev/null ||
    skip "python3 has no test package (Debian: libpython3-testsuite)"
loads "$python" -c pass

MODULES="ast bisect buffer bytes codecs collections copy csv ctypes datetime decimal deque descr dict difflib enum
    exceptions fork1 fractions gc generators heapq itertools json list long marshal memoryio memoryview mmap pickle
    queue random re set sort sqlite3 statistics str struct thread threading tracemalloc tuple unicode userdict
    weakref xml_etree zlib"

# A line for each test: its name and how it ended.
workload() {
    local module
    for module in $MODULES; do
        PYTHONHASHSEED=0 "$python" -m unittest -v "test.test_$module" 2>&1 |
            sed -nE 's/^(test\w*) \(([^)]*)\).* \.\.\. (ok|FAIL|ERROR|skipped|expected failure).*/\2 \1: \3/p
                     s/^(Ran [0-9]+ tests?) in .*/'"$module"': \1/p' | sort
    done
}
compare
grep -E ': (ok|FAIL|ERROR|skipped)$' "$SCRATCH/preload.out" | sed 's/.*: //' | sort | uniq -c
