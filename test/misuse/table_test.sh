#!/bin/sh
# The table of two crimes, in all its forms.
set -eu
markdown=$(mktemp) json=$(mktemp)
trap 'rm -f "$markdown" "$markdown.text" "$json"' EXIT

expect() {
    grep -qE "$1" "$2" || {
        echo "FAILED: no '$1' in:"
        cat "$2"
        exit 1
    }
}

printf 'before\n<!-- misuse table -->\nold\n<!-- end of misuse table -->\nafter\n' >"$markdown"
sh test/misuse/table.sh --allocators osmem --filter 'free-at-once-small|^overflow-small-by-1$' \
    --markdown "$markdown" --json "$json" >"$markdown.text"
expect '^free-at-once-small +freed +stopped' "$markdown.text"
expect '^stopped at once +1 ' "$markdown.text"
expect '^\| stopped at once \|  \| 1 \|' "$markdown"
expect '^before' "$markdown"
expect '^after' "$markdown"
! grep -q old "$markdown" || exit 1
expect '^\| overflow-small-by-1 \| overflow \| unnoticed \|' "$markdown"
expect '"said": "osmem: free\(\): block 0x[0-9a-f]+ is already free"' "$json"
! sh test/misuse/table.sh --filter 'no such crime' 2>"$json" || exit 1
expect "^table: no crime matches --filter 'no such crime'" "$json"
