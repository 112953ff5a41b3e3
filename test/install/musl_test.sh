#!/bin/bash
# A static program on musl: osmem compiled by musl's compiler, as docs/installing.md tells it, with the calls alone and in
# the place of malloc. Of the installation only the header is used: its libraries are the other C library's.
. "$(dirname "$0")/installed.sh"
need musl-gcc

# compile FOLDER FILE...: their objects, into the folder. The least optimised that the warnings are reliable for: quick.
compile() {
    mkdir "$1"
    (cd "$1" && musl-gcc -std=gnu11 -O1 "${WARNINGS[@]}" -Wno-missing-attributes -fvisibility=hidden \
        -fno-builtin-malloc -fno-builtin-calloc -fno-builtin-realloc -fno-builtin-free -I"$ROOT" -c "${@:2}")
}
link() {
    musl-gcc -O2 "${WARNINGS[@]}" -static -I"$PREFIX/include" -o "$1" "$PROGRAMS/$2" "${@:3}"
    ! readelf -l "$1" | grep -q INTERP || fail "$1 is not static"
}

compile core "$ROOT"/osmem/*.c "$ROOT"/utils/*.c
compile drop_in "$ROOT"/malloc/*.c

link calls calls.c core/*.o
served ./calls
link replaced replaced.c core/*.o drop_in/*.o
served ./replaced

# With the calls alone, malloc is musl's.
link not_replaced replaced.c core/*.o
not_served ./not_replaced
