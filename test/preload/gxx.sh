#!/bin/bash
# g++ compiles templates of the standard library; object and program are compared.
. "$(dirname "$0")/preload.sh"
. "$SOURCES/generate_source.sh"
need g++
loads g++ --version
loads "$(g++ -print-prog-name=cc1plus)" --version

workload() {
    generate_cxx 12 >templates.cc
    g++ -std=c++17 -O2 -c templates.cc -o templates.o || return 1
    cksum templates.o
    g++ templates.o -o templates && ./templates
}
compare
