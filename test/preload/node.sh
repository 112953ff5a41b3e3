#!/bin/bash
# node: the engine's own threads, buffers, compression, worker threads.
. "$(dirname "$0")/preload.sh"
need node
loads node --version

workload() {
    cat >script.js <<'JS'
const crypto = require("crypto");
const zlib = require("zlib");
const { Worker, isMainThread, parentPort, workerData } = require("worker_threads");

const digest = (value) => crypto.createHash("sha256").update(value).digest("hex").slice(0, 16);

function work(seed) {
    let state = seed;
    const number = (limit) => (state = (state * 1103515245 + 12345) % 2147483648) % limit;
    const map = new Map();
    for (let i = 0; i < 200000; i++) {
        const key = "key " + number(5000);
        map.set(key, (map.get(key) || "").slice(-100) + String.fromCharCode(97 + number(26)));
    }
    const buffers = [];
    for (let i = 0; i < 20000; i++) {
        buffers.push(Buffer.alloc(number(4000), i & 255));
        if (buffers.length > 500) buffers.splice(number(500), 1);
    }
    return digest(JSON.stringify([...map].sort())) + " " + digest(Buffer.concat(buffers));
}

if (isMainThread) {
    console.log(work(1));
    const text = Buffer.from("a text that repeats itself ".repeat(100000));
    const packed = zlib.deflateSync(text, { level: 9 });
    console.log(packed.length, zlib.inflateSync(packed).equals(text));
    const workers = [2, 3, 4].map((seed) => new Promise((resolve, reject) => {
        const worker = new Worker(__filename, { workerData: seed });
        worker.on("message", resolve);
        worker.on("error", reject);
    }));
    Promise.all(workers).then((results) => console.log(results.join("\n")));
} else {
    parentPort.postMessage(work(workerData));
}
JS
    node script.js
}
compare
