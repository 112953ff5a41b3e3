#!/bin/bash
# jq over a document of some megabytes.
. "$(dirname "$0")/preload.sh"
need jq
loads jq --version

workload() {
    jq -n '[range(60000) | {id: ., name: "name \(. * 7919 % 10007)", tags: [range(. % 5)],
        nested: {a: (. / 3), b: ("x" * (. % 20))}}]' >large.json || return 1
    cksum large.json
    jq 'group_by(.name | length) | map({key: (.[0].name | length | tostring), value: length}) | from_entries' large.json
    jq 'map(select(.id % 7 == 0) | .nested.a |= floor) | sort_by(.name, .id)' large.json | cksum
    jq -c '[.. | numbers] | {count: length, sum: add}' large.json
    jq -r '.[] | select(.name | test("9+1$")) | [.id, .name] | @csv' large.json | cksum
    jq '[paths] | length' large.json
}
compare
