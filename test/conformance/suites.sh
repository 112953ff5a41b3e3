#!/bin/sh
# What `bazel run //test/conformance:suites` starts, in its runfiles.
PYTHONPATH=test/compared exec python3 -B test/conformance/suites.py "$@"
