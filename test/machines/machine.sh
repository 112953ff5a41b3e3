# shellcheck shell=bash
# Sourced by the tests of this folder, which are given the compiler options of the project. They build the allocator, the
# drop-in and the programs of test/conformance and test/faults with another compiler, and run them. Asserts stay on.
set -u

OPTIONS=("$@" -Werror -Wno-missing-attributes -I. -Iutils)
SCRATCH=$(mktemp -d "${TMPDIR:-/tmp}/osmem.XXXXXX")
trap 'rm -rf "$SCRATCH"' EXIT

# Rules and faults, none of which asks the machine for what an emulator lacks.
RULES=(test/conformance/{c,glibc,main,posix,rule}.c)
FAULTS=("program_break moved" "program_break blocked" small_stacks life_cycle)

skip() {
    echo "SKIPPED: $*"
    exit 0
}

fail() {
    echo "FAILED: $*"
    exit 1
}

# need PROGRAM PACKAGE: the test is of no use without it.
need() {
    command -v "$1" >/dev/null || skip "$1 is not installed (Debian's package $2)"
}

# build COMPILER OPTION...: objects in $SCRATCH, without a warning; in $SCRATCH/shared those for the shared object only.
build() {
    local compiler=$1 source folder name
    shift
    mkdir -p "$SCRATCH/shared"
    for folder in osmem utils malloc; do
        mkdir -p "$SCRATCH/$folder"
        for source in "$folder"/*.c; do
            "$compiler" "${OPTIONS[@]}" "$@" -c "$source" -o "$SCRATCH/$folder/$(basename "$source" .c).o" ||
                fail "$compiler does not compile $source without a warning"
        done
    done
    for name in beside late_runtime; do
        mv "$SCRATCH/malloc/$name.o" "$SCRATCH/shared"
    done
}

# build_programs COMPILER OPTION...: the rules, and the faults, statically linked with those objects.
build_programs() {
    local compiler=$1 fault name
    shift
    "$compiler" "${OPTIONS[@]}" -fno-builtin -U_FORTIFY_SOURCE -static -pthread -o "$SCRATCH/rules" \
        "${RULES[@]}" "$SCRATCH"/{osmem,utils,malloc}/*.o "$@" 2>"$SCRATCH/errors" ||
        fail "the rules cannot be built: $(cat "$SCRATCH/errors")"
    for fault in "${FAULTS[@]}"; do
        name=${fault%% *}
        [ -e "$SCRATCH/$name" ] ||
            "$compiler" "${OPTIONS[@]}" -static -pthread -o "$SCRATCH/$name" "test/faults/$name.c" \
                test/faults/fault.c "$SCRATCH"/{osmem,utils,malloc}/*.o "$@" 2>"$SCRATCH/errors" ||
            fail "$name cannot be built: $(cat "$SCRATCH/errors")"
    done
}

# run_programs WHERE COMMAND...: all of them, started by COMMAND.
run_programs() {
    local where=$1 fault program arguments
    shift
    "$@" "$SCRATCH/rules" >"$SCRATCH/out" 2>&1 || fail "$where: $(cat "$SCRATCH/out")"
    echo "$where: $(tail -n 1 "$SCRATCH/out")"
    for fault in "${FAULTS[@]}"; do
        read -r program arguments <<<"$fault"
        # shellcheck disable=SC2086
        "$@" "$SCRATCH/$program" $arguments >"$SCRATCH/out" 2>&1
        case $? in
        0) echo "$where: $fault passed" ;;
        77) echo "$where: $fault skipped: $(tail -n 1 "$SCRATCH/out")" ;;
        *) fail "$where: $fault: $(cat "$SCRATCH/out")" ;;
        esac
    done
}
