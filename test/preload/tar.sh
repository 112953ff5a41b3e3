#!/bin/bash
# tar and xz: an archive made, compressed by several threads, and unpacked.
. "$(dirname "$0")/preload.sh"
need tar xz awk
loads tar --version
loads xz --version

workload() {
    mkdir -p tree/a/b/c
    local i
    for i in $(seq 1 150); do
        awk -v n="$i" 'BEGIN { for (i = 0; i < n * 20; i++) print i * n % 1009, "text of file", n }' \
            >"tree/a/$([ $((i % 2)) = 0 ] && echo b/c)/file$i"
    done
    tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf tree.tar tree || return 1
    cksum tree.tar
    xz -3 -T2 -k tree.tar && cksum tree.tar.xz
    mkdir out && xz -dc -T2 tree.tar.xz | tar -xf - -C out && diff -r tree out/tree && echo same
    tar -tf tree.tar.xz | cksum
    xz -2 -c tree.tar | xz -t && echo sound
}
compare
