#!/bin/sh
# What the tests of this folder, and `bazel run //test/faults:table`, start in their runfiles.
exec python3 -B test/faults/runner.py "$@"
