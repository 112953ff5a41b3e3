#!/bin/bash
# Python: dictionaries, strings, json, re, decimal, big integers, sqlite, threads, subprocesses.
. "$(dirname "$0")/preload.sh"
need python3
# The interpreter itself, not a shell script in front of it.
python=$(python3 -c 'import sys; print(sys.executable)') || skip "python3 does not work"
loads "$python" -c pass

workload() { "$python" -I "$SOURCES/python_workload.py"; }
compare
