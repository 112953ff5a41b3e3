#!/bin/bash
# libosmem-malloc.so as the dynamic linker sees it.
# Arguments: the library, the list of its exports.
set -eu
library=$1
expected=$2

command -v readelf >/dev/null || { echo "SKIPPED: no readelf"; exit 0; }

status=0
fail() {
    echo "$library: $*"
    status=1
}

# gold also lists local thread variables there.
exports() {
    readelf --dyn-syms -W "$library" | awk '$7 != "UND" && ($5 == "GLOBAL" || $5 == "WEAK") {print $8}'
}
address() { readelf --dyn-syms -W "$library" | awk -v name="$1" '$8 == name {print $2}'; }
dynamic=$(readelf -dW "$library")

diff <(grep -v '^#' "$expected" | LC_ALL=C sort) <(exports | LC_ALL=C sort) ||
    fail "exports are not those of exports.txt"

needed=$(sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' <<<"$dynamic" | grep -vE '^(libc\.so|libpthread\.so|ld-linux)' || true)
[ -z "$needed" ] || fail "needs $needed"
grep -q TEXTREL <<<"$dynamic" && fail "has text relocations"
grep -q BIND_NOW <<<"$dynamic" || fail "does not bind at start (-z now)"
readelf -lW "$library" | grep -q GNU_RELRO || fail "is not -z relro"
readelf -lW "$library" | awk '$1 == "LOAD" && /RWE/ {found = 1} END {exit !found}' &&
    fail "has pages that are both writable and executable"
# The one call into the dynamic linker that may allocate.
readelf --dyn-syms -W "$library" | grep -q __tls_get_addr && fail "its TLS is not initial-exec"

for name in free cfree __libc_free _ZdlPv _ZdlPvSt11align_val_t; do
    [ "$(address $name)" = "$(address os_free)" ] || fail "$name is not os_free itself"
done
exit $status
