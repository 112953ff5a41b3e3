#!/bin/bash
# aarch64.sh OPTION...: built by Debian's cross compiler and run by qemu with pages of 4, 16 and 64 KiB.
. test/machines/machine.sh
need aarch64-linux-gnu-gcc "gcc-aarch64-linux-gnu, and libc6-dev-arm64-cross"
need qemu-aarch64 qemu-user

build aarch64-linux-gnu-gcc
build_programs aarch64-linux-gnu-gcc test/machines/mincore.c -Wl,--wrap=mincore
for page in 4096 16384 65536; do
    run_programs "pages of $page bytes" qemu-aarch64 -p "$page"
done
