#!/bin/bash
# Programs linked with the static object, by hand: in C and C++, otherwise static or not. And all forms of new and
# delete in each of the ways that serve a program in C++.
. "$(dirname "$0")/installed.sh"
need gcc g++
lib=$PREFIX/lib
build() { "$1" -O2 "${WARNINGS[@]}" -I"$PREFIX/include" "${@:2}"; }

# One allocator, in a static program too: nothing of glibc's.
one_allocator() {
    ! nm "$1" | grep -E ' (_int_malloc|_int_free|sysmalloc|ptmalloc_init|main_arena)$' ||
        fail "$1 has glibc's allocator as well"
}

build gcc -o c "$PROGRAMS/replaced.c" "$lib/libosmem-malloc.o"
served ./c
build gcc -static -o c_static "$PROGRAMS/replaced.c" "$lib/libosmem-malloc.o"
one_allocator c_static
served ./c_static
build gcc -static-pie -o c_static_pie "$PROGRAMS/replaced.c" "$lib/libosmem-malloc.o"
one_allocator c_static_pie
served ./c_static_pie

# As a library, it has to come before the C library, and malloc has to be asked for by then.
build gcc -static -o c_archive "$PROGRAMS/replaced.c" -L"$lib" -losmem-malloc
one_allocator c_archive
served ./c_archive

build g++ -std=c++17 -c -o operators.o "$PROGRAMS/operators.cc"
g++ -o cc operators.o "$lib/libosmem-malloc.o"
served ./cc
g++ -static -o cc_static operators.o "$lib/libosmem-malloc.o"
one_allocator cc_static
served ./cc_static
g++ -o cc_linked operators.o -L"$lib" -losmem-malloc -Wl,-rpath,"$lib"
needs cc_linked libosmem-malloc.so.1
served ./cc_linked
g++ -o cc_preloaded operators.o -L"$lib" -losmem -Wl,-rpath,"$lib"
not_served ./cc_preloaded
served env LD_PRELOAD="$lib/libosmem-malloc.so.1" ./cc_preloaded

# In a plugin, with the object that only has the calls: it is position-independent.
build gcc -shared -fPIC -Dmain=plugin_main -o plugin.so "$PROGRAMS/calls.c" "$lib/libosmem.a"
echo 'int plugin_main(void); int main(void) { return plugin_main(); }' >host.c
gcc -o host host.c ./plugin.so
served ./host
