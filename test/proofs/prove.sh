#!/bin/bash
# Proves a file of proofs, by prove.py. Arguments: prove.py, the file.
set -eu
for python in python3 /usr/bin/python3; do
    "$python" -c 'import z3' 2>/dev/null && break
done
"$python" -c 'import z3' 2>/dev/null || { echo "SKIPPED: no python3-z3"; exit 0; }
command -v clang >/dev/null || { echo "SKIPPED: no clang"; exit 0; }
exec "$python" "$@"
