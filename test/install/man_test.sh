#!/bin/bash
# The manual pages, as they are installed: well-formed, and what they name is what there is: the options of osmem/conf.c,
# the calls of osmem.h, the commands of the tool and their options.
. "$(dirname "$0")/installed.sh"
man=$PREFIX/share/man
tool=$PREFIX/bin/osmem
pages=("$man/man1/osmem.1" "$man/man3/osmem.3" "$man/man5/osmem.conf.5")

# same WHAT <(documented) <(there): lists of names.
same() {
    diff <(sort -u "$2") <(sort -u "$3") || fail "$1: < documented, > there"
    [ -n "$(head -n 1 "$2")" ] || fail "$1: none found"
    echo "$1: the same"
}

# ---- names ---------------------------------------------------------------------------------------

documented_options() { sed -n 's/^\.It Cm \([a-z0-9_]*\) : .*/\1/p' "$man/man5/osmem.conf.5"; }
there_options() { grep -oP '(\{"|is_word\(key, key_length, ")\K[a-z0-9_]+(?=")' "$CONF"; }
documented_options >options.documented
there_options >options.there
same "options" options.documented options.there

documented_calls() { sed -n '/^\.Sh LIBRARY/q; s/^\.Nm \(os_[a-z0-9_]*\).*/\1/p' "$man/man3/osmem.3"; }
synopsis_calls() { sed -n 's/^\.Fn \(os_[a-z0-9_]*\) .*/\1/p' "$man/man3/osmem.3"; }
there_calls() { sed -n '/^typedef/d; s/^OSMEM_API .*[ *]\(os_[a-z0-9_]*\)(.*/\1/p' "$PREFIX/include/osmem.h"; }
documented_calls >calls.documented
synopsis_calls >calls.synopsis
there_calls >calls.there
same "calls" calls.documented calls.there
same "calls in the synopsis" calls.synopsis calls.there
while read -r call; do
    [ -e "$man/man3/$call.3" ] || fail "there is no $call.3"
done <calls.documented

sed -n 's/^\.Ss \([a-z-]*\)$/\1/p' "$man/man1/osmem.1" >commands.documented
"$tool" --help | sed -n '/^commands:/,/^$/s/^  \([a-z-]*\) .*/\1/p' >commands.there
same "commands" commands.documented commands.there
# A long option may serve several commands: it stands once.
sed -n 's/^\.It Fl.*Fl Fl \([a-z-]*\).*/\1/p; s/^\.It Fl Fl \([a-z-]*\).*/\1/p' "$man/man1/osmem.1" >flags.documented
while read -r command; do
    # From the lines that begin with an option, not from the prose.
    "$tool" "$command" --help | sed -n 's/^  \(-., \|    \)\?--\([a-z-]*\).*/\2/p'
done <commands.there | grep -vx help >flags.there
same "options of the commands" flags.documented flags.there

# ---- form ----------------------------------------------------------------------------------------

for page in "${pages[@]}"; do
    grep -q "^\.Os \"osmem $VERSION\"\$" "$page" || fail "$page: not of release $VERSION"
done
if command -v mandoc >/dev/null; then
    # But for what is installed on this machine.
    lint=$(mandoc -Tlint -W style "${pages[@]}" 2>&1 |
        grep -vE 'mandoc.db|referenced manual not found|operating system explicitly') || true
    [ -z "$lint" ] || fail "mandoc: $lint"
    echo "mandoc: clean"
fi
if command -v groff >/dev/null; then
    for page in "${pages[@]}"; do
        said=$(groff -mdoc -ww -Tutf8 "$page" 2>&1 >text)
        [ -z "$said" ] || fail "groff: $said"
        grep -q "$(basename "${page%.*}" | tr '[:lower:]' '[:upper:]')" text || fail "groff shows nothing of $page"
    done
    echo "groff: clean"
fi
command -v mandoc >/dev/null || command -v groff >/dev/null ||
    echo "SKIPPED: neither mandoc nor groff is installed: the form is not looked at"
