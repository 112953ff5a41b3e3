#!/bin/sh
# The page of `osmem map` in a browser. Arguments: page_test.py, the tool, the program that it looks at.
set -eu
script=$1
shift
# The browser wants a home to write to.
HOME=${TEST_TMPDIR:-/tmp} exec python3 "$script" "$@"
