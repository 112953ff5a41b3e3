#!/bin/bash
# thp.sh LIBRARY ALWAYS PROGRAM: transparent huge pages, never by accident and on request.
set -u
library=$(realpath -e "$1") && always=$(realpath -e "$2") && program=$3 || exit 1
grep -q VmFlags /proc/self/smaps || { echo "SKIPPED: no VmFlags in smaps"; exit 0; }
[ -e /sys/kernel/mm/transparent_hugepage/enabled ] || { echo "SKIPPED: the kernel has no huge pages"; exit 0; }
echo "the system's setting: $(cat /sys/kernel/mm/transparent_hugepage/enabled)"
failed=0

# expect WHAT CONDITION: of the numbers rss, huge, hg and nh, in KiB.
expect() {
    if (($2)); then
        echo "$1: resident $rss KiB, huge pages $huge, wanted in $hg, refused in $nh"
    else
        echo "FAILED: $1: not so: $2: resident $rss KiB, huge pages $huge, wanted in $hg, refused in $nh"
        failed=1
    fi
}

# What is none of ours: stacks may be huge, or refused by the kernel itself.
read -r rss0 huge0 _ nh0 < <("$program" 16)
# Sixteen heaps of 4 MiB each, of which 100 KB are used.
read -r rss huge hg nh < <(LD_PRELOAD=$library "$program" 16)
expect "heaps" "huge <= huge0 && hg == 0 && nh - nh0 >= 16 * 4096 && rss < rss0 + 8000"
read -r rss huge hg nh < <(LD_PRELOAD=$always:$library "$program" 16)
expect "where all memory may be huge" "huge <= huge0 && nh - nh0 >= 16 * 4096 && rss < rss0 + 8000"
read -r rss huge hg nh < <(OSMEM_CONF=thp:on LD_PRELOAD=$library "$program" 16 8000)
expect "on request, with 8 MB in a mapping each" "hg >= 16 * (4096 + 8000) && nh == nh0"
if ! grep -q '\[never\]' /sys/kernel/mm/transparent_hugepage/enabled && [ "$huge" = 0 ]; then
    echo "(the kernel had no huge page to give)"
fi
# What holds no huge page is not spoken of: the main thread's heap alone.
read -r rss huge hg nh < <(LD_PRELOAD=$library "$program" 0)
expect "a small program" "hg == 0 && nh == 0"
exit $failed
