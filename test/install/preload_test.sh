#!/bin/bash
# The installed drop-in by LD_PRELOAD, and the installed command, from any folder and by a link.
. "$(dirname "$0")/installed.sh"
need gcc
dropin=$PREFIX/lib/libosmem-malloc.so.1

# double_free COMMAND...: whose message is it that ends a program that frees a block twice?
double_free() { "$@" ./program --free-twice 2>&1 | head -n 1; }

# Linked with the calls, as it looks for itself: they too are the drop-in's then.
gcc -O2 "${WARNINGS[@]}" -o program "$PROGRAMS/replaced.c" -I"$PREFIX/include" -L"$PREFIX/lib" -losmem \
    -Wl,-rpath,"$PREFIX/lib"
not_served ./program
served env LD_PRELOAD="$dropin" ./program
served env LD_PRELOAD="$PREFIX/lib/libosmem-malloc.so" ./program

ulimit -c 0
message='osmem: free(): block 0x* is already free'
# shellcheck disable=SC2053
[[ $(double_free env LD_PRELOAD="$dropin") == $message ]] || fail "preloaded: $(double_free env LD_PRELOAD="$dropin")"
# shellcheck disable=SC2053
[[ $(double_free env) != $message ]] || fail "osmem serves without being preloaded"

tool=$PREFIX/bin/osmem
[ "$("$tool" --version)" = "osmem $VERSION" ] || fail "osmem --version says $("$tool" --version)"
served "$tool" run -- ./program
mkdir -p elsewhere/bin
ln -s ../../prefix/bin/osmem elsewhere/bin/osmem
(cd elsewhere && PATH=$PWD/bin:$PATH && served osmem run -- ../program)
cp -r "$PREFIX" moved
served moved/bin/osmem run -- ./program

# What it preloads besides: the recorder; what it starts: the player.
"$tool" record -q -o trace -- ./program >/dev/null || fail "osmem record"
"$tool" report trace >report.txt || fail "osmem report"
grep -q "recorded on libosmem-malloc.so" report.txt || fail "recorded on what? $(head -n 3 report.txt)"
"$tool" replay -n 1 --allocators osmem trace | grep -q '^osmem ' || fail "osmem replay"
"$tool" map --no-color --columns 100 -- ./program | grep -q '^  allocated ' || fail "osmem map"
