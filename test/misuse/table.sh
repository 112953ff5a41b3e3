#!/bin/sh
# What `bazel run //test/misuse:table` starts, in its runfiles.
exec python3 -B test/misuse/table.py "$@"
