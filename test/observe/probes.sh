#!/bin/bash
# probes.sh PROGRAM DROP_IN: the static probes stand in the files with their arguments, and a debugger that breaks at
# them is told of every call, with OSMEM_CONF=probes:on of each block too.
set -eu
program=$(realpath "$1")
drop_in=$(realpath "$2")
cd "$(mktemp -d "${TEST_TMPDIR:-/tmp}/probes.XXXXXX")"

fail() {
    echo "FAILED: $*"
    exit 1
}
command -v readelf >/dev/null || { echo "SKIPPED: no readelf here"; exit 0; }

# NAME and number of arguments of each.
readonly EXPECTED="alloc 2
free 1
grow 2
map 2
purge 2
realloc 3
remap 4
unmap 2"
for file in "$program" "$drop_in"; do
    notes=$(readelf -n "$file")
    found=$(awk '$1 == "Provider:" {provider = $2} $1 == "Name:" {name = $2}
        $1 == "Arguments:" && provider == "osmem" {print name, NF - 1}' <<<"$notes" | sort)
    [ "$found" = "$EXPECTED" ] || fail "$file has the probes: $found"
    ! grep -q "Base: 0x0000000000000000" <<<"$notes" || fail "$file: where it was linked to is not known"
    ! grep "Arguments:" <<<"$notes" | grep -vE '^ +Arguments:( -?8@[^ ]+)+$' || fail "$file: arguments that are not of 8 bytes"
done

command -v gdb >/dev/null || { echo "SKIPPED: no gdb here, so nobody breaks at the probes"; exit 0; }
gdb -batch -ex 'info probes stap osmem' "$program" >out 2>&1 || fail "$(cat out)"
grep -q '^stap osmem *alloc' out || fail "gdb does not see them: $(cat out)"

# The program's calls, by its own account and by what gdb stops at.
cat >script <<'GDB'
set breakpoint pending on
set pagination off
set confirm off
set debuginfod enabled off
GDB
for probe in alloc free realloc grow map unmap; do
    format="$probe %#lx"
    arguments='$_probe_arg0'
    case $probe in
    free) ;;
    realloc) format+=" %#lx %lu" arguments+=', $_probe_arg1, $_probe_arg2' ;;
    *) format+=" %lu" arguments+=', $_probe_arg1' ;;
    esac
    printf 'break -probe-stap osmem:%s\ncommands\nsilent\nprintf "event %s\\n", %s\ncontinue\nend\n' \
        "$probe" "$format" "$arguments" >>script
done
echo run >>script

trace() {
    gdb -batch -ex "set environment OSMEM_CONF $1" -ex 'set startup-with-shell off' -x script "$program" >out 2>&1 || true
    if grep -q "ptrace: \|Could not trace\|Couldn't get registers" out; then
        echo "SKIPPED: no program may be traced here: $(grep -m1 'ptrace\|trace' out)"
        exit 0
    fi
    grep -q "exited normally" out || fail "the program did not end well: $(cat out)"
    sed -n 's/^event //p' out >events
    sed -n 's/^call //p' out >calls
}
trace probes:on
[ "$(grep -c . calls)" -gt 20 ] || fail "the program tells of no calls: $(cat out)"
diff calls <(grep -E '^(alloc|free|realloc)' events) || fail "what the program calls (<) and what gdb is told (>) differ"
grep -q '^grow 0x' events && grep -q '^map 0x' events && grep -q '^unmap 0x' events || fail "no calls of the system: $(cat events)"

trace probes:off
! grep -E '^(alloc|free|realloc)' events || fail "blocks are told of without probes:on"
grep -q '^grow 0x' events || fail "calls of the system are not told of without probes:on"
echo passed
