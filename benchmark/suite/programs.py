"""Real programs, each with an input that is made here and is the same every time.

A program is a function of a bench: it writes its input below the bench's folder and returns the
command line, or raises Missing. What is small at scale 1 takes a good half of a second under
glibc. Outputs are the same in each run, so that they can be compared, but for redis's, which go
nowhere.
"""

import os
import random
import shutil
import socket
import subprocess
import sys

ENVIRONMENT = {
    "LC_ALL": "C",
    "TZ": "UTC",
    "PERL_HASH_SEED": "0",
    "PYTHONHASHSEED": "0",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_PAGER": "cat",
}

PROGRAMS = {}  # name: (function of a bench, comment, threads; 0: it waits for others)


class Missing(Exception):
    """Why a program cannot be run here."""


def program(name, comment, threads=1):
    def register(function):
        PROGRAMS[name] = (function, comment, threads)
        return function

    return register


class Bench:
    def __init__(self, folder, scale):
        self.folder = folder
        self.scale = scale

    def count(self, number):
        return max(1, round(number * self.scale))

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
        return path

    def script(self, name, text, number):
        """A file in which NUMBER stands for the scaled number."""
        return self.write(name, text.replace("NUMBER", str(self.count(number))))

    @staticmethod
    def tool(name):
        """The path of a program that LD_PRELOAD works on: no script, not statically linked."""
        path = shutil.which(name)
        if path is None:
            raise Missing("not installed")
        with open(path, "rb") as file:
            head = file.read(64 * 1024)
        if head[:4] != b"\x7fELF" or b"/ld-" not in head:
            raise Missing(path + " is not a dynamically linked program")
        return path


PYTHON = """
import json, re, zlib
words, state = {}, 1
def number(limit):
    global state
    state = state * 6364136223846793005 + 1442695040888963407 & 0xffffffffffffffff
    return (state >> 33) % limit
for place in range(NUMBER):
    word = "word%d" % number(1 + number(30000))
    words.setdefault(word, []).append((place, word * number(9)))
    if place % 7 == 0:
        words.pop("word%d" % number(30000), None)
text = json.dumps(words, sort_keys=True)
again = json.loads(text)
found = re.findall("word[0-9]*7", text)
lines = sorted(text.split(", "), key=lambda line: (len(line), line))
print(len(again), len(found), zlib.crc32("\\n".join(lines).encode()))
"""


def python_command(bench, number):
    return [os.path.realpath(sys.executable), "-S", bench.script("script.py", PYTHON, number)]


@program("python3", "dictionaries, lists, JSON; small objects in Python's own pools")
def python3(bench):
    return python_command(bench, 100000)


@program("python3_malloc", "the same, every object from the allocator (PYTHONMALLOC=malloc)")
def python3_malloc(bench):
    return [bench.tool("env"), "PYTHONMALLOC=malloc"] + python_command(bench, 100000)


@program("perl", "hashes of lists of strings, sorting, substitutions")
def perl(bench):
    text = """
my ($state, %words, $sum) = (1);
sub number { $state = ($state * 48271) % 2147483647; return $state % $_[0] }
for my $place (1 .. NUMBER) {
    my $word = "word" . number(20000);
    push @{$words{$word}}, $word x number(12);
    delete $words{"word" . number(20000)} if $place % 9 == 0;
}
for my $word (sort keys %words) {
    my $line = join ",", sort { length $a <=> length $b || $a cmp $b } @{$words{$word}};
    $line =~ s/word(\\d)/<$1>/g;
    $sum += length($line) * (unpack("%32C*", $line) % 97);
}
print scalar(keys %words), " $sum\\n";
"""
    return [bench.tool("perl"), bench.script("script.pl", text, 250000)]


@program("lua5.4", "tables, closures, strings: every allocation is a realloc")
def lua(bench):
    text = """
local state = 1
local function number(limit) state = (state * 48271) % 2147483647; return state % limit end
local function tree(depth)
    if depth == 0 then return {} end
    return { tree(depth - 1), tree(depth - 1) }
end
local function count(node) return node[1] and 1 + count(node[1]) + count(node[2]) or 1 end
local words, sum = {}, 0
for place = 1, NUMBER do
    local word = "word" .. number(20000)
    local list = words[word] or {}
    list[#list + 1] = string.rep(word, number(9))
    words[word] = number(7) > 0 and list or nil
    if place % 10000 == 0 then sum = sum + count(tree(11)) end
end
local keys = {}
for word in pairs(words) do keys[#keys + 1] = word end
table.sort(keys)
for _, word in ipairs(keys) do
    sum = sum + #table.concat(words[word], ","):gsub("word(%d)", "<%1>")
end
print(#keys, sum)
"""
    return [bench.tool("lua5.4"), bench.script("script.lua", text, 350000)]


@program("sqlite3", "tables in memory: inserts, an index, joins, groups, deletions")
def sqlite3(bench):
    text = """
create table item(id integer primary key, name text, kind integer, price real);
with recursive n(i) as (select 1 union all select i + 1 from n where i < NUMBER)
insert into item select i, 'name ' || (i * 7919 % 100003), i * 31 % 977, i * 0.25 from n;
create index item_name on item(name);
create table note as select id, name || ' of kind ' || kind as text from item where id % 3 = 0;
delete from item where kind % 10 = 3;
update item set name = name || ' again' where kind % 10 = 4;
select kind, count(*), sum(price), max(name) from item group by kind order by 2 desc, 1 limit 5;
select count(*), sum(length(text)) from item join note using (id) where item.name like '%7%';
select group_concat(substr(name, 6), '') from (select name from item order by name limit 9);
"""
    return [bench.tool("sqlite3"), ":memory:", ".read " + bench.script("script.sql", text, 250000)]


@program("jq", "a JSON file is read, grouped, sorted and written")
def jq(bench):
    source = random.Random(1)
    items = (
        '{"id":%d,"kind":"k%d","tags":["t%d","t%d"],"size":{"width":%d,"note":"%s"}}'
        % (i, source.randrange(50), i % 7, i % 11, i % 1000, "x" * source.randrange(30))
        for i in range(bench.count(25000))
    )
    path = bench.write("items.json", "[" + ",\n".join(items) + "]\n")
    query = "group_by(.kind) | map({kind: .[0].kind, notes: map(.size.note) | unique, "
    query += "tags: map(.tags[]) | unique, width: map(.size.width) | add})"
    return [bench.tool("jq"), "-c", query, path]


@program("xmllint", "an XML file is parsed, asked by XPath and its result written")
def xmllint(bench):
    source = random.Random(2)
    items = (
        '<item id="%d" kind="k%d"><name>name &amp; number %d</name>%s</item>'
        % (i, i % 13, source.randrange(10007), "<text>some text</text>" * source.randrange(4))
        for i in range(bench.count(150000))
    )
    path = bench.write("items.xml", "<list>\n" + "\n".join(items) + "\n</list>\n")
    return [bench.tool("xmllint"), "--xpath", '//item[@kind="k3"][text]/name', path]


def cxx_source(bench):
    """A file of C++ with many instances of the library's templates."""
    head = "".join(
        "#include <%s>\n" % name
        for name in ("algorithm", "functional", "map", "memory", "string", "vector")
    )
    unit = """
struct type@ {
    int key;
    std::string name;
    bool operator<(const type@ &other) const { return key < other.key; }
};
unsigned long work@(int count) {
    std::map<type@, std::vector<std::unique_ptr<type@>>> all;
    for (int i = 0; i < count; i++)
        all[{i % 7, "x"}].push_back(std::make_unique<type@>(type@{i, std::to_string(i)}));
    unsigned long sum = @;
    for (auto &one : all) {
        std::sort(one.second.begin(), one.second.end(), [](auto &a, auto &b) { return *b < *a; });
        for (auto &item : one.second) sum = sum * 7 + item->name.size();
    }
    std::function<bool(const std::string &)> is_new = [&all](const std::string &name) {
        return all.find({@, name}) == all.end();
    };
    return is_new("abc") ? sum : sum + 1;
}
"""
    units = (unit.replace("@", str(i)) for i in range(bench.count(4)))
    return bench.write("unit.cc", head + "".join(units))


@program("cc1plus", "GCC compiles C++ with many templates")
def cc1plus(bench):
    compiler = bench.tool("g++")
    found = subprocess.run([compiler, "-print-prog-name=cc1plus"], stdout=subprocess.PIPE)
    output = os.path.join(bench.folder, "unit.ii")
    command = [compiler, "-std=c++17", "-E", "-P", cxx_source(bench), "-o", output]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    path = bench.tool(os.fsdecode(found.stdout.strip()))
    return [path, "-quiet", "-fpreprocessed", "-std=c++17", "-O1", output, "-o", "-"]


@program("clang", "Clang compiles the same")
def clang(bench):
    path = bench.tool("clang")
    return [path, "-std=c++17", "-O1", "-S", "-x", "c++", cxx_source(bench), "-o", "-"]


@program("git", "git log -p --stat over a few hundred commits")
def git(bench):
    path = bench.tool("git")
    folder = os.path.join(bench.folder, "repository.git")
    source = random.Random(3)
    files = [["line %d" % source.randrange(500) for _ in range(400)] for _ in range(12)]
    stream = []
    for commit in range(bench.count(800)):
        stream.append("commit refs/heads/main\ncommitter A <a@example.org> %d +0000" % commit)
        stream.append("data <<END\nChange %d\nEND" % commit)
        for index in source.sample(range(len(files)), 4):
            for _ in range(12):
                files[index][source.randrange(400)] = "line %d" % source.randrange(500)
            stream.append("M 100644 inline file%d\ndata <<END" % index)
            stream += files[index] + ["END"]
    subprocess.run([path, "init", "-q", "--bare", folder], check=True)
    subprocess.run(
        [path, "-C", folder, "fast-import", "--quiet"],
        input="\n".join(stream + [""]).encode(),
        check=True,
    )
    return [path, "-C", folder, "--no-pager", "log", "-p", "--stat", "main"]


@program("redis", "redis-server under redis-benchmark on the loopback device", threads=0)
def redis(bench):
    for tool in ("redis-server", "redis-cli", "redis-benchmark"):
        bench.tool(tool)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # The server takes the shell's place, so that it alone is measured: what drives it is never
    # waited for. Debian's server is linked with jemalloc: glibc's allocator has to be asked for.
    text = """
(
    unset LD_PRELOAD
    redis() { "redis-$1" -h 127.0.0.1 -p PORT "${@:2}"; }
    until redis cli ping; do kill -0 $$ || exit; sleep 0.02; done
    redis benchmark -q -n NUMBER -c 20 -P 16 -r 50000 -d 200 \\
        -t set,get,incr,lpush,rpop,sadd,hset,zadd,lrange_100
    redis cli shutdown nosave
) >/dev/null 2>&1 &
export LD_PRELOAD=${LD_PRELOAD:-libc.so.6}
exec redis-server --bind 127.0.0.1 --port PORT --dir "${0%/*}" --save "" --appendonly no \\
    >/dev/null 2>&1
"""
    text = text.replace("PORT", str(port))
    return [bench.tool("bash"), bench.script("redis.sh", text, 40000)]


@program("node", "maps, strings, buffers and JSON on a heap of V8's own")
def node(bench):
    text = """
let state = 1;
const number = limit => (state = (state * 48271) % 2147483647) % limit;
const words = new Map(), buffers = [];
for (let place = 0; place < NUMBER; place++) {
    const word = 'word' + number(20000);
    if (!words.has(word)) words.set(word, []);
    words.get(word).push(word.repeat(number(9)));
    if (place % 5 === 0) words.delete('word' + number(20000));
    if (place % 10 === 0) buffers[number(2000)] = Buffer.alloc(1 + number(20000), place & 255);
}
const text = JSON.stringify([...words].sort());
const bytes = buffers.reduce((sum, buffer) => sum + buffer.length, 0);
console.log(words.size, text.length, JSON.parse(text).length, bytes);
"""
    return [bench.tool("node"), bench.script("script.js", text, 200000)]


@program("z3", "a theorem prover takes numbers of some bits apart")
def z3(bench):
    source = random.Random(4)
    lines = ["(declare-const a (_ BitVec 26))", "(declare-const b (_ BitVec 26))"]
    primes = [n for n in range(2000, 4000) if all(n % d for d in range(2, 64))]
    for _ in range(bench.count(10)):
        product = source.choice(primes) * source.choice(primes)
        lines += [
            "(push)",
            "(assert (= (bvmul a b) (_ bv%d 26)))" % product,
            "(assert (bvult a (_ bv8192 26))) (assert (bvult b (_ bv8192 26)))",
            "(assert (bvugt a (_ bv1 26))) (assert (bvuge b a))",
            "(check-sat)",
            "(pop)",
        ]
    return [bench.tool("z3"), bench.write("factors.smt2", "\n".join(lines) + "\n")]


@program("gs", "Ghostscript renders pages of text and lines")
def gs(bench):
    text = """%!
/Times-Roman findfont 9 scalefont setfont
1 1 NUMBER { /page exch def
    0 1 58 { /line exch def
        20 line 12 mul 30 add moveto
        (page ) show page 10 string cvs show ( line ) show line 10 string cvs show
        0 1 9 { /step exch def
            100 step 45 mul add line 12 mul 30 add moveto
            line 3 mul page add step mul 40 mod 30 rlineto stroke
        } for
    } for
    showpage
} for
"""
    path = bench.script("pages.ps", text, 250)
    options = ["-q", "-dSAFER", "-dNOPAUSE", "-dBATCH", "-sDEVICE=pgmraw", "-r30"]
    return [bench.tool("gs")] + options + ["-sOutputFile=-", path]
