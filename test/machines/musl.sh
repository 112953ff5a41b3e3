#!/bin/bash
# musl.sh OPTION...: built by musl-gcc, linked statically with musl.
. test/machines/machine.sh
need musl-gcc musl-tools
# Its sbrk always refuses, and not all of the programs are for other C libraries than glibc.
FAULTS=(busy_forks thread_exit fork_in_handler "limit as start")

build musl-gcc
build_programs musl-gcc
# The program has one allocator: nothing of musl's is in it.
! nm "$SCRATCH/rules" 2>/dev/null | grep -E ' (__malloc_allzerop|__malloc_alloc_meta|__simple_malloc)$' ||
    fail "musl's allocator is linked as well"
run_programs musl
