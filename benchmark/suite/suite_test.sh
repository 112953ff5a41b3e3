#!/bin/sh
# The suite on three workloads, and its errors.
set -eu
suite=benchmark/suite/suite.sh
folder=${TEST_TMPDIR:-$(mktemp -d)}

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

"$suite" --quick --scale 0.2 --filter '^(runs|cache_thrash|perl)$' --allocators osmem \
    --json "$folder/results.json" >"$folder/table"
cat "$folder/table"
grep -q '^runs.* 1.00 1.00 *[0-9.]* [0-9.]' "$folder/table" || fail "no row for a workload"
grep -q '^all ' "$folder/table" || fail "no means"
python3 - "$folder/results.json" <<'PYTHON'
import json, sys
results = json.load(open(sys.argv[1]))
for one in results["workloads"]:
    assert one["allocators"]["osmem"]["median"]["cpu_s"] > 0, one
    assert one["allocators"]["osmem"]["remarks"] == "", one
    assert one["allocators"]["glibc"]["cpu"] == 1, one
assert results["geometric_means"]["all"]["osmem"]["peak"] > 0
PYTHON

# A library that ends the program is marked and stays out of the means.
printf '#include <unistd.h>\nvoid *malloc(unsigned long size) { (void)size; _exit(3); }\n' >"$folder/bad.c"
if command -v gcc >/dev/null; then
    gcc -shared -fPIC -fno-builtin -o "$folder/bad.so" "$folder/bad.c"
    "$suite" --quick --filter '^runs$' --allocators bad --also "bad=$folder/bad.so" >"$folder/table"
    cat "$folder/table"
    grep -q '^runs.*!' "$folder/table" || fail "what does not run is not marked"
fi

"$suite" --list | grep -q '^churn single' || fail "--list"
for wrong in '--filter (' '--filter no_such' '--rounds 0' '--scale x' '--no-such-option'; do
    status=0
    # shellcheck disable=SC2086
    "$suite" $wrong >/dev/null 2>"$folder/error" || status=$?
    [ "$status" -eq 2 ] || fail "$wrong: status $status"
    [ -s "$folder/error" ] || fail "$wrong: no message"
done
