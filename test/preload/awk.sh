#!/bin/bash
# awk, whichever it is: associative arrays, strings, splitting, regular expressions, pipes.
. "$(dirname "$0")/preload.sh"
need awk
loads awk 'BEGIN { exit }'

workload() {
    awk 'BEGIN {
        s = 1
        for (i = 0; i < 400000; i++) {
            s = (s * 1103515245 + 12345) % 2147483648
            key = "key" s % 20000
            table[key] = substr(table[key] "," i, 1, 200)
            if (i % 4 == 0) delete table["key" i % 20000]
        }
        for (key in table) print key, table[key] | "sort | cksum"
        close("sort | cksum")
        for (i = 0; i < 30000; i++) text = text " " i * 7919 % 10007
        n = split(text, words, " ")
        for (i = 1; i <= n; i++) if (words[i] ~ /^(1+|9.*3)$/) count[words[i] % 10]++
        for (i = 0; i < 10; i++) print i, count[i] + 0
        print n, length(text), gsub(/[13579] /, "<&>", text), length(text)
        long = "x"
        for (i = 0; i < 20; i++) long = long long
        print length(long), toupper(substr(long, 100, 10))
        for (i = 0; i < 60000; i++) grid[i % 300, int(i / 300)] = sprintf("%05.1f", i / 7)
        for (i = 0; i < 200; i++) sum += grid[i, i]
        print sum
    }'
}
compare
