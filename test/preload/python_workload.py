"""A bit of everything that allocates; the output is the same in every run."""

import collections
import decimal
import gc
import hashlib
import itertools
import json
import multiprocessing
import random
import re
import subprocess
import sys
import threading
import zlib


def digest(value):
    return hashlib.sha256(repr(value).encode()).hexdigest()[:16]


def documents(rng, count):
    return [
        {
            "id": number,
            "name": "".join(rng.choices("abcdefghij ", k=rng.randrange(1, 60))),
            "tags": [rng.choice(["red", "green", "blue"]) for _ in range(rng.randrange(6))],
            "weight": rng.random(),
            "nested": {str(key): rng.randrange(1 << 40) for key in range(rng.randrange(8))},
        }
        for number in range(count)
    ]


def json_round_trip():
    data = documents(random.Random(1), 20000)
    text = json.dumps(data, indent=1)
    assert json.loads(text) == data
    return len(text), digest(text)


def dictionaries():
    rng = random.Random(2)
    table = {}
    for step in range(600000):
        key = rng.randrange(50000)
        if step % 3:
            table[key] = table.get(key, "") + chr(97 + step % 26)
        else:
            table.pop(key, None)
    return digest(sorted(table.items()))


def regular_expressions():
    rng = random.Random(3)
    text = " ".join("".join(rng.choices("abcdef", k=rng.randrange(1, 9))) for _ in range(150000))
    words = collections.Counter(re.findall(r"\b(a[a-f]+?|b\w{2,4})\b", text))
    replaced = re.sub(r"(\w+) (\w+)", lambda match: match[2] + "-" + match[1], text)
    return digest(words.most_common(50)), digest(replaced)


def numbers():
    decimal.getcontext().prec = 600
    root = decimal.Decimal(2).sqrt()
    factorial = 1
    for factor in range(1, 4000):
        factorial *= factor
    return digest(str(root)), digest(hex(factorial))


def cycles():
    class Node:
        pass

    rng = random.Random(4)
    for _ in range(10):
        nodes = [Node() for _ in range(20000)]
        for node in nodes:
            node.next = rng.choice(nodes)
            node.data = bytearray(rng.randrange(300))
        del nodes, node
        gc.collect()
    return len(gc.garbage)


def threads():
    results = [None] * 8

    def work(index):
        rng = random.Random(index)
        blocks = collections.deque(maxlen=500)
        checksum = 0
        for _ in range(40000):
            block = bytes([index]) * rng.randrange(2000)
            checksum = zlib.crc32(block, checksum)
            blocks.append(block)
        results[index] = checksum

    workers = [threading.Thread(target=work, args=(index,)) for index in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return results


def square(number):
    return sum(itertools.accumulate(range(number))) % 1000003


def processes():
    context = multiprocessing.get_context("fork")
    with context.Pool(4) as pool:
        squares = pool.map(square, range(0, 4000, 7))
    lines = [
        subprocess.run(
            [sys.executable, "-I", "-c", "print(sum(map(len, map(str, range(20000)))), %d)" % number],
            check=True,
            capture_output=True,
        ).stdout
        for number in range(8)
    ]
    return digest(squares), lines


def large_blocks():
    rng = random.Random(5)
    buffers = []
    total = 0
    for _ in range(300):
        buffers.append(bytearray(rng.randrange(1 << 20)))
        buffers[-1] += b"x" * rng.randrange(1 << 18)
        if len(buffers) > 20:
            total += len(buffers.pop(rng.randrange(20)))
    return total


def database():
    try:
        import sqlite3
    except ImportError:
        return None
    connection = sqlite3.connect(":memory:")
    connection.execute("create table t (a integer primary key, b text, c real)")
    rng = random.Random(6)
    rows = ((None, "row %d" % rng.randrange(1000), rng.random()) for _ in range(50000))
    connection.executemany("insert into t values (?, ?, ?)", rows)
    connection.execute("create index i on t (b, c)")
    return digest(connection.execute("select b, count(*), sum(c) from t group by b").fetchall())


for part in (
    json_round_trip,
    dictionaries,
    regular_expressions,
    numbers,
    cycles,
    threads,
    processes,
    large_blocks,
    database,
):
    print(part.__name__, part())
