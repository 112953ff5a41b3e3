#!/bin/bash
# asan.sh DROP_IN: in a program that is compiled with AddressSanitizer, osmem too, a mistake with a block of os_malloc is
# found as one with memory that nobody may touch; //malloc steps aside, and AddressSanitizer's own allocator serves. The
# drop-in that is preloaded does not take over either.
set -eu
drop_in=$(realpath "$1")
folder=$(mktemp -d "${TEST_TMPDIR:-/tmp}/asan.XXXXXX")

fail() {
    echo "FAILED: $*"
    exit 1
}
echo 'int main(void) { return 0; }' >"$folder/empty.c"
gcc -fsanitize=address -o "$folder/empty" "$folder/empty.c" 2>/dev/null && "$folder/empty" ||
    { echo "SKIPPED: no AddressSanitizer here"; exit 0; }
# The leak checker may not be allowed to look, and does not see blocks of os_malloc.
export ASAN_OPTIONS=detect_leaks=0

readonly FLAGS=(-O1 -g -fsanitize=address -fno-builtin -ftls-model=initial-exec -I. -Iutils)
compile() { # SOURCE OBJECT [FLAG]...
    gcc "${FLAGS[@]}" "${@:3}" -c "$1" -o "$folder/$2.o"
}
for source in osmem/*.c utils/*.c; do
    compile "$source" "osmem_$(basename "$source" .c)" -std=gnu11
done
for source in malloc/malloc.c malloc/operators.cc malloc/report.c malloc/stats_print.c malloc/map_request.c; do
    compile "$source" "malloc_$(basename "${source%.*}")"
done
gcc "${FLAGS[@]}" test/observe/mistakes.c "$folder"/osmem_*.o -pthread -o "$folder/library"
gcc "${FLAGS[@]}" -DOSMEM_LINKED test/observe/mistakes.c "$folder"/*.o -pthread -o "$folder/linked"
gcc "${FLAGS[@]}" -DOSMEM_LINKED test/observe/mistakes.c -o "$folder/plain"

# expect PROGRAM MISTAKE TEXT: what AddressSanitizer is to say.
expect() {
    local out
    out=$("$folder/$1" "$2" 2>&1) && fail "$1 $2: nothing was found"
    grep -q "ERROR: AddressSanitizer: $3" <<<"$out" || fail "$1 $2: no '$3' in: $out"
    grep -q "in crime .*mistakes.c" <<<"$out" || fail "$1 $2: not where it is: $out"
}
"$folder/library" none || fail "an error without a mistake"
for mistake in read_after_free write_after_free after_realloc overflow underflow; do
    expect library "$mistake" use-after-poison
done
expect library overflow_mapped ""
# What is not told: guard:off.
OSMEM_CONF=guard:off "$folder/library" overflow || fail "guard:off: something is told"

nm "$folder"/malloc_malloc.o "$folder"/malloc_operators.o | grep ' [TWVD] ' | grep -v ' asan\.\| _GLOBAL__\| __odr' &&
    fail "//malloc defines something"
for program in linked plain; do
    "$folder/$program" none || fail "$program: an error without a mistake"
    expect "$program" read_after_free heap-use-after-free
    expect "$program" overflow heap-buffer-overflow
done

out=$(LD_PRELOAD=$drop_in "$folder/plain" overflow 2>&1) && fail "preloaded: nothing was found"
grep -q "ASan runtime does not come first in initial library list" <<<"$out" || fail "preloaded: $out"
out=$(LD_PRELOAD="$(gcc -print-file-name=libasan.so) $drop_in" "$folder/plain" overflow 2>&1) &&
    fail "preloaded second: nothing was found"
grep -q "heap-buffer-overflow" <<<"$out" || fail "preloaded second: $out"
rm -r "$folder"
echo passed
