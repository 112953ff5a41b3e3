#!/bin/bash
# Copies the allocator's sources with other constants, and nothing else changed: what is explored to the last state is
# the code that is shipped. Includes are made to find the copies.
# Arguments: the folder of the copies, as it is included; where they go; NAME=VALUE …; --; the sources.
set -eu
prefix=$1
target=$2
shift 2

script=
names=()
while [ "$1" != -- ]; do
    name=${1%%=*}
    script+="s|^([ ]*#define $name) .*|\1 (${1#*=})|;"
    names+=("$name")
    shift
done
shift

for name in "${names[@]}"; do
    [ "$(cat "$@" | grep -cE "^ *#define $name ")" = 1 ] || {
        echo "$name is not defined once" >&2
        exit 1
    }
done
for source; do
    mkdir -p "$target/$(dirname "$source")"
    sed -E "$script s|#include \"(osmem/\|utils/(align\|bits\|block_meta\|die\|osmem\|probe\|sanitizer)\.h)|#include \"$prefix/\1|" \
        "$source" >"$target/$source"
done
