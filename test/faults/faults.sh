#!/bin/sh
# What the tests of this folder, and `bazel run //test/faults:table`, start in their runfiles.
PYTHONPATH=test/compared exec python3 -B test/faults/runner.py "$@"
