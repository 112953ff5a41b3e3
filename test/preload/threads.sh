#!/bin/bash
# A C++ program of ours: many threads that come and go, and free what others have allocated.
# Second argument: the program.
. "$(dirname "$0")/preload.sh"
program=$(realpath "$1")
loads "$program" 0

workload() { "$program" 12; }
compare
