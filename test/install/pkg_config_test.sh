#!/bin/bash
# Programs built with what pkg-config says: with the shared library, with the static one, all static; and the drop-in.
. "$(dirname "$0")/installed.sh"
need gcc pkg-config
export LD_RUN_PATH=$PREFIX/lib # what a system folder needs not

[ "$(pkg-config --modversion osmem)" = "$VERSION" ] || fail "osmem.pc has another version than osmem.h"
[ "$(pkg-config --modversion osmem-malloc)" = "$VERSION" ] || fail "osmem-malloc.pc has another version than osmem.h"

# Word splitting is wanted: it is what pkg-config is made for.
# shellcheck disable=SC2046
build() { gcc -O2 "${WARNINGS[@]}" -o "$1" "$PROGRAMS/$2" "${@:3}"; }

# shellcheck disable=SC2046
build shared calls.c $(pkg-config --cflags --libs osmem)
needs shared libosmem.so.1
served ./shared

# shellcheck disable=SC2046
build static calls.c -static $(pkg-config --static --cflags --libs osmem)
! readelf -l static | grep -q INTERP || fail "pkg-config --static: the program is not static"
served ./static

# Only osmem itself static, in a program with names of its own.
# shellcheck disable=SC2046
build archive calls.c "$PROGRAMS/own_names.c" $(pkg-config --cflags osmem) -l:libosmem.a \
    -L"$(pkg-config --variable=libdir osmem)"
needs_not archive libosmem.so.1
served ./archive

# shellcheck disable=SC2046
build dropin replaced.c $(pkg-config --cflags --libs osmem-malloc)
needs dropin libosmem-malloc.so.1
served ./dropin
# The same program with the calls alone, so that malloc stays the C library's.
# shellcheck disable=SC2046
build calls_only replaced.c $(pkg-config --cflags --libs osmem)
not_served ./calls_only

# shellcheck disable=SC2046
build object replaced.c $(pkg-config --cflags osmem-malloc) "$(pkg-config --variable=object osmem-malloc)"
needs_not object libosmem-malloc.so.1
served ./object

# printf.h and map_format.h, as users include them.
cat >headers.c <<'SOURCE'
#include <osmem/map_format.h>
#include <osmem/printf.h>
int main(void) { return os_printf("%s %d\n", MAP_MAGIC, MAP_VERSION) == sizeof MAP_MAGIC + 2 ? 0 : 1; }
SOURCE
# shellcheck disable=SC2046
gcc "${WARNINGS[@]}" -o headers headers.c $(pkg-config --cflags --libs osmem) && ./headers || fail "os_printf"
