#!/bin/bash
# Makes the packages of //:deb: the files that install.sh puts below /usr, divided by three.
#   libosmem1     the shared libraries and osmem.conf(5)
#   libosmem-dev  headers, static libraries, links for the linker, pkg-config, CMake, osmem(3)
#   osmem-tools   the command with what it preloads
# Arguments: install.sh, the folder of the built files, the folder for the packages. $CC and $STRIP are the toolchain's.
set -eu
installer=$1 built=$2 output=$3

command -v dpkg-deb >/dev/null || { echo "deb: no dpkg-deb here; it is part of Debian and its kin" >&2; exit 1; }

# The machine that was built for need not be this one.
machine=$(LC_ALL=C readelf -h "$built/tools/osmem" | sed -n 's/.*Machine: *//p')
case $machine in
*X86-64*) architecture=amd64 triplet=x86_64-linux-gnu ;;
*AArch64*) architecture=arm64 triplet=aarch64-linux-gnu ;;
*RISC-V*) architecture=riscv64 triplet=riscv64-linux-gnu ;;
*) echo "deb: what does Debian call '$machine'?" >&2; exit 1 ;;
esac

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# The same packages from the same files: all are as old as the manual pages say.
SOURCE_DATE_EPOCH=$(date -u -d "$(sed -n 's/^\.Dd //p' docs/man/osmem.3)" +%s)
export SOURCE_DATE_EPOCH
umask 022

all=$scratch/all lib=usr/lib/$triplet
DESTDIR=$all bash "$installer" --built="$built" --prefix=/usr --libdir="/$lib" >/dev/null
rm -r "${all:?}/$lib/osmem" # the list for --uninstall: dpkg has one of its own
"${STRIP:-strip}" --strip-unneeded "$all/$lib"/*.so.1 "$all"/usr/bin/* "$all"/usr/lib/osmem/osmem-player \
    "$all"/usr/lib/osmem/libosmem-record.so
find "$all/usr/share/man" -type f -exec gzip -9n {} +
find "$all/usr/share/man" -type l | while read -r link; do
    ln -s "$(readlink "$link").gz" "$link.gz"
    rm "$link"
done
version=$(sed -n 's/^#define OSMEM_VERSION "\(.*\)"$/\1/p' "$all/usr/include/osmem.h")

# newest PREFIX FILE...: the highest version of symbols with that prefix that the files ask for.
newest() {
    local prefix=$1
    shift
    LC_ALL=C readelf -VW "$@" | grep -o "${prefix}_[0-9.]*" | sort -uV | tail -n 1 | cut -d_ -f2
}

# package NAME FIELDS PATH...: the files at the paths, which are patterns, move into the package.
package() {
    local name=$1 fields=$2 root=$scratch/$1 path
    shift 2
    mkdir -p "$root/DEBIAN"
    for path in $(cd "$all" && eval "echo $*"); do
        mkdir -p "$root/$(dirname "$path")"
        mv "$all/$path" "$root/$path"
    done
    find "$root" -type d -exec chmod 755 {} +
    {
        echo "Package: $name"
        echo "Version: $version"
        echo "Architecture: $architecture"
        echo "Maintainer: The developers of osmem <osmem@localhost>"
        echo "Priority: optional"
        echo "Installed-Size: $(du -k --apparent-size -s "$root" | cut -f1)"
        echo "$fields"
    } >"$root/DEBIAN/control"
    (cd "$root" && find usr -type f -printf '%P\n' | sort | sed 's|^|usr/|' | xargs -d '\n' md5sum) \
        >"$root/DEBIAN/md5sums"
}

build() {
    dpkg-deb --root-owner-group -Zxz --build "$scratch/$1" "$output/$1.deb" >/dev/null
}

libc="libc6 (>= $(newest GLIBC "$all/$lib"/*.so.1 "$all/usr/bin/osmem" "$all/usr/lib/osmem"/*))"

package libosmem1 "Section: libs
Multi-Arch: same
Depends: $libc
Description: memory allocator that tells every wrong free (shared libraries)
 osmem is a general-purpose memory allocator: exact best fit without a header in
 any block, and a message for every free of what is not the start of a live one.
 .
 libosmem.so.1 has the calls os_malloc and the like; libosmem-malloc.so.1 takes
 the place of the C library's malloc, linked or by LD_PRELOAD." \
    "$lib/*.so.1" "usr/share/man/man5/*"
cat >"$scratch/libosmem1/DEBIAN/shlibs" <<SHLIBS
libosmem 1 libosmem1 (>= $version)
libosmem-malloc 1 libosmem1 (>= $version)
SHLIBS
echo "activate-noawait ldconfig" >"$scratch/libosmem1/DEBIAN/triggers"

package libosmem-dev "Section: libdevel
Multi-Arch: same
Depends: libosmem1 (= $version), libc6-dev
Description: memory allocator that tells every wrong free (development files)
 Headers, static libraries, the files of pkg-config and CMake, and the manual
 pages of the calls of osmem." \
    "usr/include/*" "$lib/*" "usr/share/man/man3/*"

package osmem-tools "Section: devel
Depends: libosmem1 (= $version), $libc, libstdc++6 (>= $("${CC:-gcc}" -dumpversion)), libgcc-s1
Recommends: binutils
Description: memory allocator that tells every wrong free (tools)
 The command osmem runs programs on the allocator osmem, compares it with others
 that are installed, records and replays what a program allocates, reports on
 who holds memory, and draws heaps." \
    "usr/bin/*" "usr/lib/osmem" "usr/share/man/man1/*"

left=$(find "$all" ! -type d)
[ -z "$left" ] || { echo "deb: in no package: $left" >&2; exit 1; }
for name in libosmem1 libosmem-dev osmem-tools; do
    build $name
done
