#!/bin/bash
# redis-server under redis-benchmark on a Unix socket; data structures and a saved database.
. "$(dirname "$0")/preload.sh"
need redis-server redis-cli redis-benchmark
loads redis-server --version
loads redis-benchmark --version

workload() {
    local socket=$PWD/socket server
    redis-server --port 0 --unixsocket "$socket" --dir "$PWD" --save "" --daemonize no \
        --logfile log --io-threads 2 --activedefrag no &
    server=$!
    trap 'kill $server 2>/dev/null' EXIT
    local tries=0
    until redis-cli -s "$socket" ping >/dev/null 2>&1; do
        if ! kill -0 $server || [ $((tries += 1)) -gt 200 ]; then
            cat log >&2
            return 1
        fi
        sleep 0.05
    done
    client() { redis-cli -s "$socket" "$@"; }

    redis-benchmark -s "$socket" -q -n 10000 -c 20 -P 8 -r 10000 -d 200 \
        -t set,get,incr,lpush,rpop,sadd,hset,zadd,lrange_100,mset >benchmark || return 1
    tr '\r' '\n' <benchmark | grep -c 'requests per second'
    client flushall
    client eval '
        for i = 1, 20000 do
            redis.call("hset", "hash" .. i % 100, "field" .. i, string.rep("v", i % 300))
            redis.call("zadd", "sorted", i * 7919 % 10007, "member" .. i)
            redis.call("rpush", "list" .. i % 10, string.rep("x", i % 50))
            redis.call("set", "key" .. i, string.rep("y", i % 1000))
        end
        for i = 1, 20000, 3 do redis.call("del", "key" .. i) end
        return redis.call("dbsize")' 0
    client zrange sorted 0 -1 withscores | cksum
    client lrange list3 0 -1 | cksum
    client save
    client shutdown nosave
    wait $server
    echo "server ended with $?"
    grep -E 'CRASH|osmem:|BUG' log
    trap - EXIT
    [ -s dump.rdb ]
}
compare
