#!/bin/bash
# Runs a fuzz target under libFuzzer with AddressSanitizer and UndefinedBehaviorSanitizer, for which it needs clang:
#
#   test/fuzz/fuzz.sh calls|conf|printf SECONDS [OPTION OF LIBFUZZER]…
#   test/fuzz/fuzz.sh --merge calls|conf|printf        what was found goes, as few inputs as will do, into the corpus
#
# What is found stays in fuzz-found/TARGET; an input that fails is left there as crash-….
set -euo pipefail
cd "$(dirname "$0")/../.."

command -v clang >/dev/null || {
    echo "fuzz.sh: skipped: no clang here (Debian's package clang)"
    exit 0
}
merge=
if [ "${1-}" = --merge ]; then
    merge=yes
    shift
fi
target=${1:?which target: calls, conf or printf}
corpus=test/fuzz/corpus/$target
found=fuzz-found/$target
mkdir -p "$found"
./bazelw build --config=fuzz "//test/fuzz:${target}_fuzzer"
fuzzer=$(./bazelw info --config=fuzz bazel-bin 2>/dev/null)/test/fuzz/${target}_fuzzer

# The leak checker sees neither our blocks nor pointers kept in them.
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1
case $target in calls) longest=1001 ;; conf) longest=150 ;; *) longest=34 ;; esac
# No thread that watches the memory: the target forks.
options=(-rss_limit_mb=0 -max_len="$longest")
[ ! -e "test/fuzz/$target.dict" ] || options+=(-dict="test/fuzz/$target.dict")
if [ -n "$merge" ]; then
    smallest=$(mktemp -d)
    trap 'rm -rf "$smallest"' EXIT
    "$fuzzer" -set_cover_merge=1 "${options[@]}" "$smallest" "$corpus" "$found"
    rm -f "$corpus"/*
    cp "$smallest"/* "$corpus"/
    exit
fi
seconds=${2:?for how many seconds}
shift 2
exec nice -n 10 "$fuzzer" "${options[@]}" -max_total_time="$seconds" -print_final_stats=1 \
    -artifact_prefix="$found/" "$@" "$found" "$corpus"
