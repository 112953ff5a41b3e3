# shellcheck shell=bash disable=SC2034
# Sourced by the tests of this folder, whose first argument is the installer: osmem is installed into $PREFIX, below an
# empty folder $SCRATCH, and the test builds there what a user would build, with nothing of this repository but the
# programs in $PROGRAMS.
set -eu

INSTALLER=$(realpath -es "${1:?the installer}")
ROOT=$PWD MODULE=$PWD/MODULE.bazel CONF=$PWD/osmem/conf.c
PROGRAMS=$(cd "$(dirname "$0")" && pwd -P)
SCRATCH=$(mktemp -d "${TMPDIR:-/tmp}/osmem.XXXXXX")
PREFIX=$SCRATCH/prefix
trap 'rm -rf "$SCRATCH"' EXIT
# The tool of the installation must not find its companions by what Bazel says of this test.
unset RUNFILES_DIR RUNFILES_MANIFEST_FILE TEST_SRCDIR BUILD_WORKING_DIRECTORY
unset DESTDIR LD_PRELOAD LD_LIBRARY_PATH LD_RUN_PATH LIBRARY_PATH CPATH PKG_CONFIG_LIBDIR OSMEM_CONF
export LC_ALL=C PKG_CONFIG_PATH=$PREFIX/lib/pkgconfig
readonly WARNINGS=(-Wall -Wextra -Werror)

skip() {
    echo "SKIPPED: $*"
    exit 0
}

fail() {
    echo "FAILED: $*"
    exit 1
}

# need PROGRAM...: the test is of no use without them.
need() {
    local program
    for program; do
        command -v "$program" >/dev/null || skip "$program is not installed"
    done
}

# served COMMAND...: runs one of our programs, which looks for itself whether osmem serves it.
served() {
    local said
    said=$("$@") || fail "status $? of: $*"
    [ "$said" = "served by osmem $VERSION" ] || fail "$* says: $said"
    echo "served: ${*#"$SCRATCH"/}"
}

# not_served COMMAND...: the same program where osmem does not serve it. What `served` says would else be worth nothing.
not_served() {
    local said
    ! said=$("$@" 2>&1) || fail "osmem serves $* as well: $said"
}

# needs PROGRAM LIBRARY, needs_not PROGRAM LIBRARY: whether the program asks the dynamic linker for it.
needs() {
    readelf -d "$1" | grep -qF "[$2]" || fail "$1 does not ask for $2"
}
needs_not() {
    ! readelf -d "$1" | grep -qF "[$2]" || fail "$1 asks for $2"
}

"$INSTALLER" --prefix="$PREFIX" >"$SCRATCH/install.log" || fail "the installation: $(cat "$SCRATCH/install.log")"
VERSION=$(sed -n 's/^#define OSMEM_VERSION "\(.*\)"$/\1/p' "$PREFIX/include/osmem.h")
[ -n "$VERSION" ] || fail "no version in osmem.h"
cd "$SCRATCH"
