#!/bin/bash
# gcc compiles, assembles and links a large C file; object and program are compared.
. "$(dirname "$0")/preload.sh"
. "$SOURCES/generate_source.sh"
need gcc
loads gcc --version
loads "$(gcc -print-prog-name=cc1)" --version

workload() {
    generate_c 400 >large.c
    gcc -O2 -g -fdebug-prefix-map="$PWD"=. -c large.c -o large.o || return 1
    cksum large.o
    generate_c 150 >small.c
    gcc -O3 -S -fverbose-asm small.c -o small.s || return 1
    cksum small.s
    gcc -O1 small.c -o small && ./small
}
compare
