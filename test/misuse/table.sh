#!/bin/sh
# What `bazel run //test/misuse:table` starts, in its runfiles.
PYTHONPATH=test/compared exec python3 -B test/misuse/table.py "$@"
