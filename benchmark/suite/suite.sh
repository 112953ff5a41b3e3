#!/bin/sh
# What `bazel run //benchmark:suite` starts, in its runfiles.
exec python3 -B benchmark/suite/runner.py "$@"
