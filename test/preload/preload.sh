# shellcheck shell=bash disable=SC2034,SC2163
# Sourced by the tests of this folder, which are given the library as their first argument.
#
# A test defines `workload`, which runs a real program, and calls `compare`: the workload runs twice,
# each time in an empty folder of its own, first as it is and then with the library preloaded into
# every program that it starts. Results, messages and exit status have to be the same.
set -u

LIBRARY=$(realpath -e "${1:?the library}") || exit 1
shift
SOURCES=$(cd "$(dirname "$0")" && pwd)
# Short, because Unix sockets are created below it.
SCRATCH=$(mktemp -d "${TMPDIR:-/tmp}/osmem.XXXXXX")
trap 'rm -rf "$SCRATCH"' EXIT
export LC_ALL=C TZ=UTC HOME="$SCRATCH"

skip() {
    echo "SKIPPED: $*"
    exit 0
}

fail() {
    echo "FAILED: $*"
    exit 1
}

# need PROGRAM...: the test is of no use without them.
need() {
    local program
    for program; do
        command -v "$program" >/dev/null || skip "$program is not installed"
    done
}

# loads COMMAND...: makes sure that the library really is in this program, by asking the dynamic
# linker, and that nothing is said when it is.
loads() {
    LD_DEBUG=files LD_DEBUG_OUTPUT="$SCRATCH/loads" LD_PRELOAD="$LIBRARY" "$@" \
        >/dev/null 2>"$SCRATCH/loads.err" </dev/null
    grep -qs "initialize program: " "$SCRATCH"/loads.* || skip "$1 is not dynamically linked"
    grep -qsF "calling init: $LIBRARY" "$SCRATCH"/loads.* || fail "the library is not loaded into $1"
    ! grep -E "osmem:|ld.so:" "$SCRATCH/loads.err" || fail "$1 with the library prints messages"
    rm -f "$SCRATCH"/loads.*
}

# run NAME [VARIABLE=value...]: the workload in the folder NAME, with the variables exported.
run() {
    local name=$1
    shift
    mkdir "$SCRATCH/$name"
    (
        cd "$SCRATCH/$name" || exit 1
        [ $# = 0 ] || export "$@"
        workload
    ) >"$SCRATCH/$name.out" 2>"$SCRATCH/$name.err" </dev/null
    echo "exit status $?" >>"$SCRATCH/$name.out"
}

compare() {
    run plain
    run preload LD_PRELOAD="$LIBRARY"
    local stream
    for stream in out err; do
        # The folder's own name may appear in messages.
        sed -i "s|$SCRATCH/preload|$SCRATCH/plain|g" "$SCRATCH/preload.$stream"
        if ! cmp -s "$SCRATCH/plain.$stream" "$SCRATCH/preload.$stream"; then
            diff "$SCRATCH/plain.$stream" "$SCRATCH/preload.$stream" | head -n 40
            fail "the library changes std$stream (< without, > with)"
        fi
    done
    tail -n 1 "$SCRATCH/plain.out" | grep -qx "exit status 0" || {
        tail -n 20 "$SCRATCH/plain.err"
        fail "the workload itself does not work"
    }
    local lines
    lines=$(wc -l <"$SCRATCH/plain.out")
    echo "same $lines lines of output without and with the library"
}
