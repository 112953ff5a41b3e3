#!/bin/sh
# What misuse_test and guarded_test run, in their runfiles; arguments are for misuse_test.py.
exec python3 -B test/misuse/misuse_test.py test/misuse/crimes malloc/libosmem-malloc.so \
    test/misuse/libcareless.so "$@"
