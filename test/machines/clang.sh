#!/bin/bash
# clang.sh LIBRARY_RULES OPERATORS_RULES OPTION...: built by clang; the rules on its drop-in, linked and preloaded.
programs=("${@:1:2}")
shift 2
. test/machines/machine.sh
need clang clang

build clang -fPIC -Wno-unknown-warning-option
build_programs clang -Wno-unknown-warning-option
run_programs clang
clang++ -std=c++17 -O2 -fPIC -fvisibility=hidden -Wall -Wextra -Werror -I. -c malloc/operators.cc \
    -o "$SCRATCH/operators.o" || fail "clang++ does not compile the operators without a warning"
clang++ -shared -Wl,--version-script=malloc/exports.lds -Wl,-z,defs -Wl,-z,nodelete -Wl,--as-needed \
    -o "$SCRATCH/libosmem-malloc.so" "$SCRATCH"/{osmem,utils,malloc,shared}/*.o "$SCRATCH/operators.o" ||
    fail "the drop-in cannot be linked"
for program in "${programs[@]}"; do
    LD_PRELOAD=$SCRATCH/libosmem-malloc.so "$program" || fail "$program"
done
