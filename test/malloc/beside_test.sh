#!/bin/bash
# The drop-in leaves the break to the allocator of a program that loaded it, and to no other.
# Arguments: the library, the program `beside`.
set -eu
library=$(realpath "$1")
program=$2

status=0
expect() {
    local said
    said=$("${@:3}") || said="exit $?"
    [ "$said" = "$2" ] || { echo "$1: the break was $said, not $2"; status=1; }
}

expect preloaded moved env LD_PRELOAD="$library" "$program"
expect loaded left "$program" "$library"
exit $status
