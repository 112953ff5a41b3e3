#!/bin/sh
# malloc_info.sh LIBRARY: its document is XML, and has the elements that glibc's has.
set -eu
library=$(realpath -e "$1")
glibc=$(python3 -B test/conformance/malloc_info.py)
osmem=$(LD_PRELOAD=$library python3 -B test/conformance/malloc_info.py)
[ -n "$glibc" ] && [ "$glibc" = "$osmem" ] || {
    printf 'FAILED: of glibc:\n%s\nof the library:\n%s\n' "$glibc" "$osmem"
    exit 1
}
