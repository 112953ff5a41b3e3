#!/bin/sh
# preload.sh LIBRARY PROGRAM: the rules of the program on a drop-in.
LD_PRELOAD=$(realpath -e "$1") || exit 1
export LD_PRELOAD
exec "$2"
