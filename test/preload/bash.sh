#!/bin/bash
# bash itself: arrays, associative arrays, expansions, subshells and pipes.
. "$(dirname "$0")/preload.sh"
need bash
loads bash --version

workload() {
    cat >script.bash <<'BASH'
declare -A counts
declare -a list
state=1
for ((i = 0; i < 60000; i++)); do
    ((state = (state * 1103515245 + 12345) % 2147483648))
    key=key$((state % 3000))
    counts[$key]=$((${counts[$key]:-0} + i))
    list[state % 20000]=$key-$i
    ((i % 5)) || unset "counts[$key]" "list[state % 10000]"
done
for key in "${!counts[@]}"; do echo "$key ${counts[$key]}"; done | sort | cksum
echo "${#list[@]} $(printf '%s,' "${list[@]}" | cksum)"
text=$(printf 'word%d ' {1..5000})
echo "${#text} ${text//word1/X}" | cksum
for ((i = 0; i < 200; i++)); do
    value=$(echo $((i * i)) | { read -r number; echo "<$number>"; })
    printf '%s' "$value"
done
echo
while IFS=, read -r a b c; do echo "$c$b$a"; done < <(printf '%d,%d,%d\n' {1..6000}) | cksum
long=x
for ((i = 0; i < 18; i++)); do long+=$long; done
echo ${#long}
BASH
    bash --norc script.bash
}
compare
