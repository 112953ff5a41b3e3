#!/bin/bash
# clang compiles the same C and C++ files as gcc does in its tests.
. "$(dirname "$0")/preload.sh"
. "$SOURCES/generate_source.sh"
need clang clang++
loads clang --version

workload() {
    generate_c 150 >large.c
    clang -O2 -g -fdebug-prefix-map="$PWD"=. -c large.c -o large.o || return 1
    cksum large.o
    generate_cxx 5 >templates.cc
    clang++ -std=c++17 -O1 -c templates.cc -o templates.o || return 1
    cksum templates.o
    clang++ templates.o -o templates && ./templates
}
compare
