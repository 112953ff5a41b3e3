#!/bin/bash
# The installation itself: what is where, again, elsewhere, and away with it; and that all of it is of one release.
. "$(dirname "$0")/installed.sh"
listing() { (cd "$1" && find . | LC_ALL=C sort); }

# ---- what is there -------------------------------------------------------------------------------

for file in include/osmem.h include/osmem/printf.h lib/libosmem.a lib/libosmem.so.1 lib/libosmem-malloc.so.1 \
    lib/libosmem-malloc.o lib/pkgconfig/osmem.pc lib/cmake/osmem/osmemConfig.cmake share/man/man1/osmem.1 \
    share/man/man3/osmem.3 share/man/man5/osmem.conf.5 bin/osmem; do
    [ -s "$PREFIX/$file" ] || fail "no $file"
done
[ -z "$(find "$PREFIX" -xtype l)" ] || fail "links to nowhere: $(find "$PREFIX" -xtype l)"
! grep -rIl '@[A-Z_]*@' "$PREFIX" || fail "placeholders are left"

# Files, not links into Bazel's folders.
[ -z "$(find "$PREFIX" -type l -lname '/*')" ] || fail "links to places elsewhere: $(find "$PREFIX" -type l -lname '/*')"

major=${VERSION%%.*}
for library in libosmem libosmem-malloc; do
    soname=$(readelf -d "$PREFIX/lib/$library.so" | sed -n 's/.*(SONAME).*\[\(.*\)\]/\1/p')
    [ "$soname" = "$library.so.$major" ] || fail "the name of $library is $soname, its release $VERSION"
done
numbers=$(sed -n 's/^#define OSMEM_VERSION_[MP][A-Z]* //p' "$PREFIX/include/osmem.h" | paste -sd.)
[ "$numbers" = "$VERSION" ] || fail "osmem.h: $VERSION and $numbers"
grep -q "^    version = \"$VERSION\",\$" "$MODULE" || fail "MODULE.bazel has another release than osmem.h: $VERSION"

# ---- names ---------------------------------------------------------------------------------------

# What the headers declare, and what `osmem map` looks for.
declared=$(sed -E -n -e '/^typedef/d' -e 's/^(OSMEM_API )?[a-z].*[ *](os_[a-z0-9_]+)\(.*/\2/p' "$PREFIX/include/osmem.h" \
    "$PREFIX/include/osmem/printf.h" && echo os_map_layout)
declared=$(sort -u <<<"$declared")
same_as_declared() {
    diff <(echo "$declared") <(sort -u) || fail "$1 exports other names than the headers declare (< declared)"
}
# gold also lists local thread variables there.
readelf --dyn-syms -W "$PREFIX/lib/libosmem.so" |
    awk '$7 ~ /^[0-9]+$/ && $5 == "GLOBAL" {sub("@.*", "", $8); print $8}' | same_as_declared libosmem.so
# And the static library has no others for a program's own to collide with.
nm -g --defined-only "$PREFIX/lib/libosmem.a" | awk 'NF == 3 {print $3}' | same_as_declared libosmem.a
# Of the drop-in they are those that the shared object exports, and printf's.
diff <(nm -D --defined-only "$PREFIX/lib/libosmem-malloc.so" | awk '$2 ~ /[A-Z]/ {print $3}' | sort -u) \
    <(nm -g --defined-only "$PREFIX/lib/libosmem-malloc.o" | awk '{print $3}' | grep -v '^os_.*printf$' | sort -u) ||
    fail "libosmem-malloc.so (<) and libosmem-malloc.o have other names"

# ---- again, elsewhere, away ----------------------------------------------------------------------

first=$(listing "$PREFIX")
echo "$PREFIX/lib/of_an_older_release.so" >>"$PREFIX/lib/osmem/installed"
touch "$PREFIX/lib/of_an_older_release.so" "$PREFIX/lib/of_someone_else.so"
ln "$PREFIX/lib/libosmem.so.1" in_use
"$INSTALLER" --prefix "$PREFIX" >/dev/null || fail "installing again"
[ ! -e "$PREFIX/lib/of_an_older_release.so" ] || fail "a file of an older release stays"
[ ! "$PREFIX/lib/libosmem.so.1" -ef in_use ] || fail "a library in use is written to"
rm "$PREFIX/lib/of_someone_else.so" || fail "someone else's file is gone"
[ "$(listing "$PREFIX")" = "$first" ] || fail "installing again makes a difference"

# In a package's folder, which has some folders already, with the libraries of several machines side by side; relative
# to where the user stands.
mkdir -p stage/opt/osmem/share/man
DESTDIR=stage BUILD_WORKING_DIRECTORY=$SCRATCH "$INSTALLER" --prefix=/opt/osmem --libdir=/opt/osmem/lib/machine \
    >/dev/null || fail "with DESTDIR"
[ -e stage/opt/osmem/lib/machine/libosmem.so.1 ] || fail "--libdir"
! grep -rI "$SCRATCH" stage || fail "DESTDIR is in the files"
stage/opt/osmem/bin/osmem run -- true || fail "the command does not find what is in --libdir"
grep -qx 'libdir=${prefix}/lib/machine' stage/opt/osmem/lib/machine/pkgconfig/osmem.pc || fail "osmem.pc and --libdir"
DESTDIR=$SCRATCH/stage "$INSTALLER" --prefix=/opt/osmem --libdir=/opt/osmem/lib/machine --uninstall >/dev/null ||
    fail "--uninstall with DESTDIR"
[ "$(find stage -printf '%P ')" = " opt opt/osmem opt/osmem/share opt/osmem/share/man " ] || fail "left: $(find stage)"

touch "$PREFIX/bin/of_someone_else"
"$INSTALLER" --prefix="$PREFIX" --uninstall >/dev/null || fail "--uninstall"
[ "$(listing "$PREFIX" | grep -vx .)" = "./bin
./bin/of_someone_else" ] || fail "left: $(listing "$PREFIX")"

# ---- trouble -------------------------------------------------------------------------------------

# refused STATUS PATTERN ARGUMENT...: one line that says what is wrong.
refused() {
    local status=0 said
    said=$("$INSTALLER" "${@:3}" 2>&1) || status=$?
    [ $status = "$1" ] || fail "status $status, not $1, of: ${*:3}"
    [[ $(tail -n 1 <<<"$said") == install:*$2* ]] || fail "${*:3} says: $said"
}
refused 2 "unknown argument '--fly'" --fly
refused 2 "--prefix needs a folder" --prefix
refused 2 "unknown argument '--prefix='" --prefix=
refused 1 "there is no osmem in" --prefix="$PREFIX" --uninstall
refused 1 "cannot take" --prefix="$PWD/with a space"
touch file
refused 1 "cannot write below" --prefix="$PWD/file"
"$INSTALLER" --help | grep -q -- --prefix || fail "--help"
