#!/bin/sh
# What `bazel run //benchmark:traces` starts, in its runfiles: the stored traces of real programs, replayed on every
# allocator found. Options are those of `osmem replay`.
status=0
for trace in test/trace/data/*.osmem; do
    echo
    tools/osmem replay -n 9 "$@" "$trace" || status=1
done
exit $status
