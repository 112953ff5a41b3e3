#!/bin/sh
# What `bazel run //test/conformance:table` starts, in its runfiles.
PYTHONPATH=test/compared exec python3 -B test/conformance/table.py "$@"
