#!/bin/bash
# Puts osmem where programs outside of this repository find it, or takes it away again. What `bazel run //:install`
# starts in its runfiles; `bazel build //:install` makes bazel-bin/install/install, which can be started as root.
#
# What goes where stands in install_all below, once for all: //:deb makes its packages of the same files.
set -eu
umask 022

usage() {
    cat <<'USAGE'
usage: install [--prefix=DIR] [--libdir=DIR] [--uninstall]

Installs osmem: headers, libraries, pkg-config and CMake files, manual pages, the command osmem.

  --prefix=DIR   below this folder (default: /usr/local)
  --libdir=DIR   libraries in this one (default: PREFIX/lib)
  --uninstall    take away what was installed there
  -h, --help     print this

With DESTDIR=FOLDER in the environment everything is put below that folder, for packages; what is written into files
does not change. An older installation in the same place is replaced.
USAGE
}

die() {
    echo "install: $*" >&2
    exit 1
}

die_usage() {
    echo "install: $* (see install --help)" >&2
    exit 2
}

prefix=/usr/local
libdir=
uninstall=false
built=. # where the built files lie, for //:deb, which has no runfiles
while [ $# -gt 0 ]; do
    case $1 in
    --prefix=?* | --libdir=?* | --built=?*)
        option=${1%%=*}
        printf -v "${option#--}" %s "${1#*=}"
        ;;
    --prefix | --libdir)
        [ $# -gt 1 ] && [ -n "$2" ] || die_usage "$1 needs a folder"
        printf -v "${1#--}" %s "$2"
        shift
        ;;
    --uninstall) uninstall=true ;;
    -h | --help)
        usage
        exit
        ;;
    *) die_usage "unknown argument '$1'" ;;
    esac
    shift
done

# Relative to where the user stands, which is not here.
absolute() {
    case $1 in
    /*) realpath -ms -- "$1" ;;
    *) realpath -ms -- "${BUILD_WORKING_DIRECTORY:-$PWD}/$1" ;;
    esac
}
prefix=$(absolute "$prefix")
libdir=$(absolute "${libdir:-$prefix/lib}")
[[ $prefix$libdir != *[[:space:]:\|\&\\]* ]] ||
    die "the folder's name has a character that LD_PRELOAD or others cannot take"
stage=
[ -z "${DESTDIR:-}" ] || stage=$(absolute "$DESTDIR")
# The repository's files: beside the script as Bazel starts it, or round where it lies.
for file in "$0".runfiles/*/utils/osmem.h "$(dirname -- "$0")/../utils/osmem.h"; do
    if [ -e "$file" ]; then
        cd "$(dirname -- "$file")/.."
        break
    fi
done

readonly prefix libdir stage
readonly manifest=$libdir/osmem/installed # one path a line, without DESTDIR; folders that were made end with /

# The path of a file of the repository, be it built or not.
source_of() {
    local path
    for path in "$1" "$built/$1"; do
        if [ -e "$path" ]; then
            echo "$path"
            return
        fi
    done
    die "$1 is not here: run //:install by Bazel, or build it and start bazel-bin/install/install"
}

installed=()

# make_folder PATH: with those that it lies in.
make_folder() {
    [ ! -d "$stage$1" ] || return 0
    make_folder "$(dirname -- "$1")"
    mkdir -- "$stage$1" || die "cannot write below $prefix: another --prefix, or as root"
    installed+=("$1/")
}

# note PATH: a file that belongs to the installation.
note() {
    make_folder "$(dirname -- "$1")"
    installed+=("$1")
}

# put MODE FILE PATH: a file of the repository, as it is. What is there is replaced by a new file, not written to: it
# may be in use.
put() {
    local from
    from=$(source_of "$2")
    note "$3"
    install -m "$1" -- "$from" "$stage$3"
}

# fill FILE PATH: a file with @NAMES@.
fill() {
    local from to_prefix
    from=$(source_of "$1")
    note "$2"
    to_prefix=$(realpath -ms --relative-to="$(dirname -- "$2")" -- "$prefix")
    rm -f -- "$stage$2"
    # pkg-config can be told of another prefix: the folder of the libraries follows it.
    sed -e "s|@VERSION@|$version|g" -e "s|@MAJOR@|${version%%.*}|g" -e "s|@PREFIX@|$prefix|g" \
        -e "s|@LIBDIR@|${libdir/#"$prefix"\//\$\{prefix\}/}|g" -e "s|@TO_PREFIX@|$to_prefix|g" "$from" >"$stage$2"
    chmod 644 -- "$stage$2"
}

# link TARGET PATH: a symbolic link.
link() {
    note "$2"
    ln -sfn -- "$1" "$stage$2"
}

install_all() {
    local header=utils/osmem.h man=$prefix/share/man private=$prefix/lib/osmem section page name
    version=$(source_of $header)
    version=$(sed -n 's/^#define OSMEM_VERSION "\(.*\)"$/\1/p' "$version")

    put 644 $header "$prefix/include/osmem.h"
    put 644 utils/printf.h "$prefix/include/osmem/printf.h"
    put 644 osmem/map_format.h "$prefix/include/osmem/map_format.h"

    put 644 install/libosmem.so.1 "$libdir/libosmem.so.1"
    link libosmem.so.1 "$libdir/libosmem.so"
    put 644 install/libosmem.a "$libdir/libosmem.a"
    put 644 malloc/libosmem-malloc.so.1 "$libdir/libosmem-malloc.so.1"
    link libosmem-malloc.so.1 "$libdir/libosmem-malloc.so"
    put 644 install/libosmem-malloc.a "$libdir/libosmem-malloc.a"
    put 644 install/libosmem-malloc.o "$libdir/libosmem-malloc.o"

    fill install/osmem.pc.in "$libdir/pkgconfig/osmem.pc"
    fill install/osmem-malloc.pc.in "$libdir/pkgconfig/osmem-malloc.pc"
    fill install/osmemConfig.cmake.in "$libdir/cmake/osmem/osmemConfig.cmake"
    fill install/osmemConfigVersion.cmake.in "$libdir/cmake/osmem/osmemConfigVersion.cmake"

    # The command looks for what it preloads in ../lib/osmem.
    put 755 tools/osmem "$prefix/bin/osmem"
    put 644 tools/record/libosmem-record.so "$private/libosmem-record.so"
    put 755 tools/replay/osmem-player "$private/osmem-player"
    link "$(realpath -ms --relative-to="$private" -- "$libdir/libosmem-malloc.so.1")" "$private/libosmem-malloc.so"

    for page in osmem.1 osmem.3 osmem.conf.5; do
        section=${page##*.}
        fill "docs/man/$page" "$man/man$section/$page"
    done
    # A page for each call that osmem(3) names: `man os_malloc`.
    for name in $(sed -n -e '/^\.Sh LIBRARY/q' -e 's/^\.Nm \(os_[a-z0-9_]*\).*/\1/p' "$(source_of docs/man/osmem.3)"); do
        link osmem.3 "$man/man3/$name.3"
    done
}

# remove PATH...: files, and folders that are empty then, the last one first.
remove() {
    local i path
    for ((i = $#; i > 0; i--)); do
        path=${!i}
        if [ "$path" = "${path%/}" ]; then
            rm -f -- "$stage$path" || die "cannot remove $stage$path"
        else
            [ ! -d "$stage$path" ] || rmdir --ignore-fail-on-non-empty -- "$stage$path" || die "cannot remove $stage$path"
        fi
    done
}

# Programs find libraries in the folders that ldconfig knows by its cache only.
update_cache() {
    local ldconfig
    ldconfig=$(PATH=$PATH:/sbin:/usr/sbin command -v ldconfig) || return 0
    if [ -z "$stage" ] && "$ldconfig" -vNX 2>/dev/null | grep -q "^$libdir:"; then
        "$ldconfig" || echo "install: ldconfig failed; programs may not find libosmem.so.1" >&2
    fi
}

before=()
folders=() # that were made by an earlier installation, or for files that there are no more
[ ! -e "$stage$manifest" ] || mapfile -t before <"$stage$manifest"

if $uninstall; then
    [ -e "$stage$manifest" ] || die "there is no osmem in $stage$libdir (no $stage$manifest)"
    remove "${before[@]}"
    update_cache
    echo "removed osmem from $stage$prefix"
    exit
fi

[ -z "$stage" ] || mkdir -p -- "$stage" || die "cannot make $stage"
install_all
note "$manifest"
for path in "${before[@]}"; do
    if printf '%s\n' "${installed[@]}" | grep -qxF -e "$path"; then
        continue
    elif [ "$path" = "${path%/}" ]; then
        remove "$path"
    else
        folders+=("$path")
    fi
done
printf '%s\n' "${folders[@]}" "${installed[@]}" | sed '/^$/d' >"$stage$manifest"
update_cache
echo "installed osmem $version below $stage$prefix"
