#!/bin/bash
# The packages of //:deb, unpacked into a folder (only root could install them): what dpkg will make of them, and
# programs built and run as if they were installed there. Further arguments: the packages.
packages=("${@:2}")
for i in "${!packages[@]}"; do packages[i]=$(realpath -e "${packages[i]}"); done
. "$(dirname "$0")/installed.sh"
need dpkg-deb gcc g++

field() { dpkg-deb --field "$1" "$2"; }
package_of() {
    local file
    for file in "${packages[@]}"; do
        [ "$(field "$file" Package)" != "$1" ] || echo "$file"
    done
}
library=$(package_of libosmem1) development=$(package_of libosmem-dev) tools=$(package_of osmem-tools)
[ -n "$library" ] && [ -n "$development" ] && [ -n "$tools" ] || fail "packages: ${packages[*]}"

# ---- what dpkg reads -----------------------------------------------------------------------------

architecture=$(field "$library" Architecture)
! command -v dpkg >/dev/null || [ "$(dpkg --print-architecture)" = "$architecture" ] || fail "for $architecture"
for file in "${packages[@]}"; do
    [ "$(field "$file" Version)" = "$VERSION" ] || fail "$file is of release $(field "$file" Version)"
    [ "$(field "$file" Architecture)" = "$architecture" ] || fail "$file is for $(field "$file" Architecture)"
    [ -n "$(field "$file" Description)" ] && [ -n "$(field "$file" Maintainer)" ] || fail "$file: fields are missing"
    owners=$(dpkg-deb --fsys-tarfile "$file" | tar -tv --numeric-owner | awk '{print $2}' | sort -u)
    [ "$owners" = 0/0 ] || fail "$file: owned by $owners"
    dpkg-deb --raw-extract "$file" "control.$(field "$file" Package)"
    (cd "control.$(field "$file" Package)" && md5sum --quiet -c DEBIAN/md5sums) || fail "$file: md5sums"
done
for file in "$development" "$tools"; do
    [[ $(field "$file" Depends) == "libosmem1 (= $VERSION)"* ]] || fail "$file depends on $(field "$file" Depends)"
done
[[ $(field "$library" Depends) =~ ^"libc6 (>= 2."[0-9]+")"$ ]] || fail "libosmem1 depends on $(field "$library" Depends)"
grep -qx "activate-noawait ldconfig" control.libosmem1/DEBIAN/triggers || fail "libosmem1: no trigger for ldconfig"
grep -qx "libosmem 1 libosmem1 (>= $VERSION)" control.libosmem1/DEBIAN/shlibs || fail "libosmem1: shlibs"

# Each file is in one package, and all that install.sh installs is in one.
for file in "${packages[@]}"; do dpkg-deb --fsys-tarfile "$file" | tar -t | grep -v '/$'; done | sort >in_packages
[ -z "$(uniq -d in_packages)" ] || fail "in two packages: $(uniq -d in_packages)"
triplet=$(sed -n 's|^\./usr/lib/\(.*\)/libosmem\.so\.1$|\1|p' in_packages)
sed -e "s|/lib/$triplet/|/lib/|" -e 's|\.gz$||' -e 's|^\./usr/||' in_packages | sort >packed
(cd "$PREFIX" && find . ! -type d ! -path ./lib/osmem/installed -printf '%P\n') | sort >in_prefix
diff packed in_prefix || fail "< in the packages, > installed"

# ---- as if installed -----------------------------------------------------------------------------

for file in "${packages[@]}"; do dpkg-deb -x "$file" root; done
lib=$SCRATCH/root/usr/lib/$triplet
[ -z "$(find root -xtype l)" ] || fail "links to nowhere: $(find root -xtype l)"
[ -z "$(find root/usr/share -name '*.[135]')" ] || fail "manual pages are not compressed"
gzip -t root/usr/share/man/man?/*.gz || fail "manual pages"

# In the system's own folders nothing has to be said of them.
if command -v pkg-config >/dev/null; then
    said=$(PKG_CONFIG_PATH=$lib/pkgconfig pkg-config --cflags --libs osmem)
    [ "${said% }" = -losmem ] || fail "pkg-config says $said"
fi
flags=(-I"$SCRATCH/root/usr/include" -L"$lib")
gcc "${WARNINGS[@]}" -o calls "$PROGRAMS/calls.c" "${flags[@]}" -losmem
served env LD_LIBRARY_PATH="$lib" ./calls
g++ "${WARNINGS[@]}" -std=c++17 -o operators "$PROGRAMS/operators.cc" "${flags[@]}" "$lib/libosmem-malloc.o"
served ./operators
gcc "${WARNINGS[@]}" -o replaced "$PROGRAMS/replaced.c" "${flags[@]}" -losmem
served env LD_LIBRARY_PATH="$lib" LD_PRELOAD=libosmem-malloc.so.1 ./replaced
served env LD_LIBRARY_PATH="$lib" root/usr/bin/osmem run -- ./replaced
[ "$(root/usr/bin/osmem --version)" = "osmem $VERSION" ] || fail "the command is of another release"
