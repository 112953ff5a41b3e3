#!/bin/bash
# A static program has one allocator: nothing of glibc's malloc.o is in it.
# Arguments: programs linked with -static.
set -eu

command -v nm >/dev/null || { echo "SKIPPED: no nm"; exit 0; }

status=0
for program; do
    symbols=$(nm "$program")
    for needed in malloc free calloc realloc os_malloc os_free os_heap_walk; do
        count=$(grep -c " [TtWi] $needed\$" <<<"$symbols" || true)
        [ "$count" = 1 ] || { echo "$program: $needed is defined $count times"; status=1; }
    done
    # Static functions and data that have been in glibc's malloc.c for many releases.
    if grep -E ' (_int_malloc|_int_free|sysmalloc|ptmalloc_init|malloc_consolidate|main_arena|mp_)$' \
        <<<"$symbols"; then
        echo "$program: has glibc's allocator as well"
        status=1
    fi
    if readelf -lW "$program" | grep -q INTERP; then
        echo "$program: is not static"
        status=1
    fi
done
exit $status
