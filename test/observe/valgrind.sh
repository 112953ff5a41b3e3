#!/bin/bash
# valgrind.sh LIBRARY_PROGRAM LINKED_PROGRAM PLAIN_PROGRAM DROP_IN: memcheck sees the blocks of os_malloc: a leak with the
# place it was allocated at, accesses before, behind and after the end of a block, contents that were never written; and
# nothing where nothing is wrong. Of the drop-in it takes the place, linked or preloaded, unless it is told not to.
set -eu
program=$(realpath "$1")
linked=$(realpath "$2")
plain=$(realpath "$3")
drop_in=$(realpath "$4")
cd "$(mktemp -d "${TEST_TMPDIR:-/tmp}/valgrind.XXXXXX")"

command -v valgrind >/dev/null || { echo "SKIPPED: no valgrind here (Debian: valgrind)"; exit 0; }
# What was built without <valgrind/memcheck.h> knows nothing of Valgrind.
[ -e /usr/include/valgrind/memcheck.h ] || { echo "SKIPPED: no <valgrind/memcheck.h> here"; exit 0; }

fail() {
    echo "FAILED: $*"
    exit 1
}
# Sets `log` to what memcheck says of the program.
check() {
    valgrind --leak-check=full --error-exitcode=99 "${@:2}" "$program" "$1" >log 2>&1 || true
    log=$(cat log)
}
expect() {
    check "$1"
    for text in "${@:2}"; do
        grep -q "$text" <<<"$log" || fail "$1: no '$text' in: $log"
    done
}

check none
grep -q "ERROR SUMMARY: 0 errors" <<<"$log" || fail "errors without a mistake: $log"
grep -q "All heap blocks were freed" <<<"$log" || fail "blocks that were freed are not: $log"
blocks=$(sed -n 's/.*total heap usage: \([0-9,]*\) allocs.*/\1/p' <<<"$log" | tr -d ,)
[ "$blocks" -gt 10000 ] || fail "only $blocks blocks were seen: $log"

expect leak "5,000 bytes in 1 blocks are definitely lost" "by .*: make_block (in" "40 bytes in 1 blocks are definitely lost"
expect read_after_free "Invalid read of size 1" "is 8 bytes inside a block of size 40 free'd" "by .*: os_free\|at .*: os_free\|release_guarded"
expect write_after_free "Invalid write of size 1" "is 8 bytes inside a block of size 40 free'd"
expect after_realloc "Invalid write of size 1" "is 8 bytes inside a block of size 40 free'd"
expect overflow "Invalid write of size 1" "is 0 bytes after a block of size 40 alloc'd"
expect underflow "Invalid write of size 1" "is 1 bytes before a block of size 40 alloc'd"
expect overflow_mapped "Invalid write of size 1" "is 0 bytes after a block of size 300,000 alloc'd"
expect uninitialised "Conditional jump or move depends on uninitialised value"

# What is not told to memcheck: with guard:off it knows nothing of blocks.
export OSMEM_CONF=guard:off
check overflow
grep -q "ERROR SUMMARY: 0 errors" <<<"$log" || fail "guard:off: $log"
unset OSMEM_CONF

readonly OURS=--soname-synonyms=somalloc=nouserintercepts
program=$linked
check overflow
grep -q "at .*: malloc (in .*vgpreload" <<<"$log" || fail "memcheck's own malloc is not in place: $log"
check overflow "$OURS"
grep -q "is 0 bytes after a block of size 40 alloc'd" <<<"$log" && grep -q "by .*: guard_allocate" <<<"$log" ||
    fail "linked: $log"
program=$plain
export LD_PRELOAD=$drop_in
check overflow
grep -q "at .*: malloc (in .*vgpreload" <<<"$log" || fail "memcheck's own malloc is not in place: $log"
check none "$OURS"
grep -q "ERROR SUMMARY: 0 errors" <<<"$log" || fail "errors without a mistake: $log"
check overflow "$OURS"
grep -q "is 0 bytes after a block of size 40 alloc'd" <<<"$log" && grep -q "by .*: guard_allocate" <<<"$log" ||
    fail "preloaded: $log"
echo passed
