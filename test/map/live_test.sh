#!/bin/sh
# Arguments: live_test.py, the osmem command.
exec python3 "$@"
