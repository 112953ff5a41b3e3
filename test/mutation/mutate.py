#!/usr/bin/env python3
"""Mutates the core: would the suites notice a small change of its meaning?

    test/mutation/mutate.py [--sample N] [--seed S] [--jobs J] [--json FILE] [FILE]…

Changes one thing in one file of osmem/ at a time (an operator, a constant, a condition, a statement), builds the core
with it and runs the fast suites, in order of speed, until one fails. A mutant is killed by a failing or a hanging
suite; one that does not compile, or compiles to the same code, is none. Lines of the preprocessor, static asserts and
attributes are left alone. Mutants that change nothing that anyone could observe are listed with the reason in
equivalent.txt. The suites are those that Bazel built; only the core is compiled here, and of the suites those that
use the mutated header themselves.
"""

import argparse
import concurrent.futures
import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
EQUIVALENT = pathlib.Path(__file__).with_name("equivalent.txt")
SUITES = [
    "//test/core:" + name for name in (
        "aligned_test", "best_fit_test", "bins_test", "calloc_test", "coalesce_test", "faults_test",
        "foreign_break_test", "growth_test", "large_test", "misuse_test", "preallocation_test", "purge_test",
        "quick_test", "realloc_test", "region_test", "registry_test", "sizes_test", "slab_test", "split_test", "system_test", "tags_test")
] + [
    "//test/model:" + name for name in (
        "check_mapped_test", "check_test", "conf_test", "mapped_test", "misuse_test", "model_test", "properties_test",
        "random_test", "stats_test")
] + ["//test/threads:" + name for name in ("exit_test", "fork_test", "threads_test")]
# The suites that call the functions of a header themselves, and not by the core alone.
DIRECT = {
    "osmem/bins.h": ["test/core/bins_test"],
    "osmem/quick.h": ["test/core/quick_test", "test/model/properties_test"],
    "osmem/region.h": ["test/model/properties_test"],
    "osmem/tags.h": ["test/core/tags_test"],
}
C_FLAGS = [
    "-std=gnu11", "-O1", "-DNDEBUG", "-w", "-fno-builtin-malloc", "-fno-builtin-calloc", "-fno-builtin-realloc",
    "-fno-builtin-free", "-fvisibility=hidden", "-ftls-model=initial-exec"
]
CXX_FLAGS = ["-std=c++17", "-O1", "-DNDEBUG", "-w"]
SEED = "1"  # of the suites' random cases: a mutant that dies must die again
MEMORY = 12 << 30

# ---- mutants ---------------------------------------------------------------------------------------------------------

TOKEN = re.compile(r"""
      (?P<space>\s+) | (?P<comment>/\*.*?\*/|//[^\n]*) | (?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
    | (?P<number>0[xX][0-9a-fA-F]+[uUlL]*|\d+[uUlL]*) | (?P<name>[A-Za-z_]\w*)
    | (?P<operator><<=|>>=|\.\.\.|->|\+\+|--|&&|\|\||==|!=|<=|>=|<<|>>|[-+*/%&|^]=|[-+*/%&|^~!<>=?:;,.(){}\[\]])
""", re.VERBOSE | re.DOTALL)

BINARY = {
    "<": ["<=", ">="], "<=": ["<", ">"], ">": [">=", "<="], ">=": [">", "<"], "==": ["!="], "!=": ["=="],
    "&&": ["||"], "||": ["&&"], "+": ["-"], "-": ["+"], "&": ["|"], "|": ["&"], "<<": [">>"], ">>": ["<<"],
    "+=": ["-="], "-=": ["+="], "&=": ["|="], "|=": ["&="], "<<=": [">>="], ">>=": ["<<="], "*": ["+"], "/": ["*"],
    "%": ["/"], "^": ["&"],
}
NEGATED = object()  # stands for the same in `(!…)`
TYPES = {"void", "char", "int", "size_t", "uint8_t", "uint32_t", "uint64_t", "uintptr_t", "bool", "unsigned", "long",
         "return", "case", "heap", "region", "entry", "conf"}


@dataclasses.dataclass(frozen=True)
class Token:
    kind: str
    text: str
    start: int


@dataclasses.dataclass(frozen=True)
class Mutant:
    file: str
    start: int
    end: int
    replacement: str
    line: int
    text: str  # of the line, as it was
    change: str

    def __str__(self):
        return f"{self.file}:{self.line}: {self.change}: {self.text}"


def tokens_of(source):
    """The tokens that can be mutated: without comments, the preprocessor, static asserts and attributes."""
    source = re.sub(r"^[ \t]*#(?:[^\n\\]|\\.|\\\n)*", lambda match: " " * len(match[0]), source, flags=re.MULTILINE)
    tokens, at = [], 0
    while at < len(source):
        match = TOKEN.match(source, at)
        if match is None:
            raise ValueError(f"no token at {source[at:at + 20]!r}")
        if match.lastgroup not in ("space", "comment"):
            tokens.append(Token(match.lastgroup, match[0], at))
        at = match.end()
    kept, depth, skip = [], 0, False
    for token in tokens:
        if token.text in ("static_assert", "_Static_assert", "__attribute__", "tls_model"):
            skip, depth = True, 0
        elif skip:
            depth += {"(": 1, ")": -1}.get(token.text, 0)
            skip = not (token.text == ")" and depth == 0)
        else:
            kept.append(token)
    return kept


def closing(tokens, index):
    depth = 0
    for at in range(index, len(tokens)):
        depth += {"(": 1, ")": -1}.get(tokens[at].text, 0)
        if depth == 0:
            return at
    return None


def is_operand(token):
    return token.kind == "number" or token.text in (")", "]") or token.kind == "name" and token.text not in TYPES


def in_functions(tokens):
    """Which tokens stand in the body of a function; elsewhere there are declarations."""
    inside, depth, result = False, 0, []
    for index, token in enumerate(tokens):
        if token.text == "{":
            if depth == 0:
                inside = tokens[index - 1].text == ")"
            depth += 1
        elif token.text == "}":
            depth -= 1
        result.append(inside and depth > 0)
    return result


def changes(tokens):
    """Every change: (start, end, replacement, what it is)."""
    body = in_functions(tokens)
    for index in range(1, len(tokens) - 1):
        token, before, after = tokens[index], tokens[index - 1], tokens[index + 1]
        end = token.start + len(token.text)
        if not body[index]:
            continue
        if token.kind == "operator" and token.text in BINARY and is_operand(before):
            # `struct tag_line *line` and `(void *)x` are no products.
            if token.text == "*" and (after.text == ")" or tokens[index - 2].text in ("struct", "enum", "const")):
                continue
            # `(struct entry){…}` and casts are no sums: `)` before a sign may close a cast.
            for other in BINARY[token.text]:
                yield token.start, end, other, f"{token.text} is {other}"
        elif token.text in ("++", "--"):
            other = "--" if token.text == "++" else "++"
            yield token.start, end, other, f"{token.text} is {other}"
        elif token.text in ("~", "!"):
            yield token.start, end, "", f"{token.text} is left out"
        elif token.kind == "number" and not token.text.startswith("0x"):
            number, suffix = re.match(r"(\d+)(\w*)", token.text).groups()
            for other in {int(number) + 1, max(int(number) - 1, 0)} - {int(number)}:
                yield token.start, end, f"{other}{suffix}", f"{token.text} is {other}"
        elif token.text in ("true", "false"):
            other = "false" if token.text == "true" else "true"
            yield token.start, end, other, f"{token.text} is {other}"
        elif token.text in ("if", "while") and after.text == "(":
            last = tokens[closing(tokens, index + 1)].start + 1
            yield after.start, last, NEGATED, f"the condition of {token.text} is negated"
        elif token.text in ("break", "continue") and after.text == ";":
            yield token.start, end, "", f"{token.text} is left out"
        if before.text in (";", "{", "}") or before.text == ")" and statement_follows(tokens, index):
            removed = removable(tokens, index)
            if removed is not None:
                yield token.start, removed, "", "the statement is left out"


def statement_follows(tokens, index):
    """Whether the `)` before closes the head of an if, a for or a while."""
    depth = 0
    for at in range(index - 1, -1, -1):
        depth += {")": 1, "(": -1}.get(tokens[at].text, 0)
        if depth == 0:
            return tokens[at - 1].text in ("if", "for", "while")
    return False


def removable(tokens, index):
    """Where an expression statement that starts here ends, before its semicolon; None if none does."""
    token = tokens[index]
    if token.text in ("++", "--", "*"):
        index += 1
        token = tokens[index]
    if token.kind != "name" or token.text in TYPES | {
            "struct", "const", "static", "return", "if", "for", "while", "do", "else", "switch", "case", "break",
            "continue", "enum", "default", "goto", "unsigned", "__atomic"}:
        return None
    if tokens[index + 1].kind == "name" or tokens[index + 1].text in ("*", ":"):
        return None  # a declaration
    depth = 0
    for at in range(index, len(tokens)):
        depth += {"(": 1, ")": -1, "{": 1, "}": -1}.get(tokens[at].text, 0)
        if tokens[at].text == ";" and depth == 0:
            return tokens[at].start
        if depth < 0:
            return None
    return None


@functools.lru_cache(maxsize=None)
def source_of(path):
    """As it was at first, should someone edit it meanwhile."""
    return (ROOT / path).read_text()


def mutants_of(path):
    source = source_of(path)
    tokens = tokens_of(source)
    for start, end, replacement, change in changes(tokens):
        if replacement is NEGATED:
            replacement = "(!" + source[start:end] + ")"
        line = source.count("\n", 0, start) + 1
        text = " ".join(source.splitlines()[line - 1].split())
        yield Mutant(path, start, end, replacement, line, text, change)


def listed_as_equivalent():
    """{(file, line's text, change): reason}; a `*` for the change means any."""
    listed = {}
    for line in EQUIVALENT.read_text().splitlines():
        if line and not line.startswith("#"):
            file, text, change, reason = (part.strip() for part in line.split("\t"))
            listed[file, text, change] = reason
    return listed


def reason_for(mutant, listed):
    return listed.get((mutant.file, mutant.text, mutant.change)) or listed.get((mutant.file, mutant.text, "*"))


# ---- building --------------------------------------------------------------------------------------------------------


def output(*command, **options):
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, **options).stdout


class Build:
    """The suites as Bazel built them, and the core as compiled here: all in one program."""

    def __init__(self, folder):
        subprocess.run(["./bazelw", "build", *SUITES], cwd=ROOT, check=True)
        # `bazel-out/…` in Bazel's files is relative to this.
        self.bazel = pathlib.Path(output("./bazelw", "info", "execution_root", cwd=ROOT).strip())
        self.bin = pathlib.Path(output("./bazelw", "info", "bazel-bin", cwd=ROOT).strip())
        self.folder = folder
        # Copies, so that the sources may be edited and built again meanwhile.
        self.tree = folder / "tree"
        for part in ("osmem", "utils", "test"):
            shutil.copytree(ROOT / part, self.tree / part, ignore=shutil.ignore_patterns("corpus"))
        self.objects, self.options = {}, set()
        for suite in SUITES:
            self.read_link(suite)
        self.sources = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "osmem").glob("*.c"))
        self.used = {source: self.headers_of(source) for source in self.sources}
        self.original = {}
        (folder / "original").mkdir()
        for source in self.sources:
            self.original[source] = self.compile(source, None, folder / "original")

    def read_link(self, suite):
        """Objects, but for the core's, and --wrap options from what Bazel gives the linker."""
        params = self.bin / (suite.removeprefix("//").replace(":", "/") + "-2.params")
        for word in params.read_text().split("\n"):
            if word.endswith(".o") and "/osmem/_objs/" not in word:
                copy = self.folder / word.removeprefix("bazel-out/")
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(self.bazel / word, copy)
                self.objects[word] = str(copy)
            elif word.startswith("-Wl,--wrap="):
                self.options.add(word)
            elif "rapidcheck" in word or word.startswith("-lrapid"):
                self.options.add(word)

    def headers_of(self, source):
        return set(re.findall(r"osmem/\w+\.h", output("gcc", "-MM", "-I.", source, cwd=self.tree)))

    def compile(self, source, overlay, folder):
        """The object of a source of the core; None if it does not compile."""
        target = folder / (pathlib.Path(source).stem + ".o")
        path = source if overlay is None or not (overlay / source).exists() else str(overlay / source)
        include = ([f"-I{overlay}"] if overlay is not None else []) + ["-I."]
        done = subprocess.run(["gcc", *C_FLAGS, *include, "-c", "-o", target, path], cwd=self.tree,
                              stderr=subprocess.DEVNULL)
        return target if done.returncode == 0 else None

    def compile_suite(self, path, overlay, folder):
        target = folder / (pathlib.Path(path).name + ".o")
        done = subprocess.run(["g++", *CXX_FLAGS, f"-I{overlay}", "-I.", "-I/usr/src/googletest/googletest/include",
                               "-I/usr/src/googletest/googlemock/include", "-c", "-o", target,
                               path + ".cc"], cwd=self.tree, stderr=subprocess.DEVNULL)
        return target if done.returncode == 0 else None

    def link(self, core, suites, target):
        objects = [str(suites.get(pathlib.Path(word).stem, path)) for word, path in self.objects.items()]
        linker = ["-fuse-ld=lld"] if shutil.which("ld.lld") else []
        subprocess.run(["g++", *linker, "-o", target, *objects, *map(str, core.values()), *sorted(self.options),
                        "-lrapidcheck", "-pthread"], check=True)

    def mutate(self, mutant, folder):
        """Links the mutant's program in `folder`; else the reason why there is none."""
        overlay = folder / "overlay"
        (overlay / "osmem").mkdir(parents=True)
        source = source_of(mutant.file)
        (overlay / mutant.file).write_text(source[:mutant.start] + mutant.replacement + source[mutant.end:])
        core, suites, same = dict(self.original), {}, True
        for each in self.sources:
            if each == mutant.file or mutant.file in self.used[each]:
                core[each] = self.compile(each, overlay, folder)
                if core[each] is None:
                    return "does not compile"
                same &= code_of(core[each]) == code_of(self.original[each])
        for path in DIRECT.get(mutant.file, []):
            name = pathlib.Path(path).name
            suites[name] = self.compile_suite(path, overlay, folder)
            if suites[name] is None:
                return "does not compile"
        if same:
            return "same code"
        self.link(core, suites, folder / "suites")
        return None


def code_of(path):
    stripped = path.with_suffix(".code")
    subprocess.run(["objcopy", "--strip-debug", "--remove-section=.comment", "-R", ".symtab", path, stripped],
                   check=True)
    return hashlib.sha256(stripped.read_bytes()).digest()


# ---- running ---------------------------------------------------------------------------------------------------------


def limits():
    os.setsid()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def run(program, tests, seconds, folder):
    """How the cases ended, and after how long."""
    environment = dict(os.environ, OSMEM_TEST_SEED=SEED, RC_PARAMS=f"seed={SEED} max_success=60 max_size=100 noshrink=1",
                       GTEST_FILTER=":".join(tests))
    started = time.monotonic()
    child = subprocess.Popen([str(program), "--gtest_fail_fast"], cwd=folder, env=environment, preexec_fn=limits,
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        verdict = "passed" if child.wait(seconds) == 0 else "killed"
    except subprocess.TimeoutExpired:
        verdict = "timed out"
    # Cases run in children, which may hang on their own.
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    child.wait()
    return verdict, time.monotonic() - started


def cases_of(binary):
    names, suite = [], ""
    for line in output(binary, "--gtest_list_tests").splitlines():
        line = line.split("#")[0].rstrip()
        if line.startswith("  "):
            names.append(suite + line.strip())
        elif line.endswith("."):
            suite = line.strip()
    return names


def stages(build, program, folder):
    """The suites' cases with the time that the unchanged core takes, the quickest first."""
    result = []
    for suite in SUITES:
        cases = cases_of(build.bin / suite.removeprefix("//").replace(":", "/"))
        verdict, seconds = run(program, cases, 300, folder)
        if verdict != "passed":
            sys.exit(f"mutate.py: {suite} fails on the unchanged core")
        result.append((seconds, suite, cases))
    return sorted(result)


def judge(build, order, mutant):
    folder = pathlib.Path(tempfile.mkdtemp(dir=build.folder))
    try:
        verdict = build.mutate(mutant, folder)
        by = None
        if verdict is None:
            verdict = "survived"
            for seconds, suite, cases in order:
                verdict, _ = run(folder / "suites", cases, 10 + 5 * seconds, folder)
                if verdict != "passed":
                    by = suite
                    break
            verdict = "survived" if verdict == "passed" else verdict
        return {**dataclasses.asdict(mutant), "verdict": verdict, "by": by}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# ---- reporting -------------------------------------------------------------------------------------------------------

VERDICTS = ("killed", "timed out", "survived", "equivalent", "same code", "does not compile")


def table(results):
    files = sorted({result["file"] for result in results})
    print(f"{'file':20}" + "".join(f"{verdict:>18}" for verdict in VERDICTS) + f"{'rate':>10}")
    for file in files + ["all"]:
        verdicts = [result["verdict"] for result in results if file in ("all", result["file"])]
        counts = [verdicts.count(verdict) for verdict in VERDICTS]
        dead, whole = sum(counts[:2]), sum(counts[:3])
        rate = f"{100 * dead / whole:.1f} %" if whole else "-"
        print(f"{file:20}" + "".join(f"{count:18}" for count in counts) + f"{rate:>10}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", help="osmem/….c or .h; all of them by default")
    parser.add_argument("--sample", type=int, help="so many mutants, chosen by the seed; all of them by default")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--json", help="where to write every mutant and its verdict")
    parser.add_argument("--again", help="the survivors of such a file only")
    parser.add_argument("--list", action="store_true", help="name the mutants, run nothing")
    options = parser.parse_args()

    files = options.files or sorted(str(path.relative_to(ROOT)) for path in (ROOT / "osmem").glob("*.[ch]"))
    mutants = [mutant for file in files for mutant in mutants_of(file)]
    if options.again:
        again = {(each["file"], each["text"], each["change"]) for each in json.loads(pathlib.Path(options.again).read_text())
                 if each["verdict"] == "survived"}
        mutants = [mutant for mutant in mutants if (mutant.file, mutant.text, mutant.change) in again]
    if options.sample and options.sample < len(mutants):
        mutants = random.Random(options.seed).sample(mutants, options.sample)
    listed = listed_as_equivalent()
    if options.list:
        for mutant in mutants:
            print(mutant)
        print(len(mutants), "mutants")
        return 0

    results = [{**dataclasses.asdict(mutant), "verdict": "equivalent", "by": reason_for(mutant, listed)}
               for mutant in mutants if reason_for(mutant, listed)]
    mutants = [mutant for mutant in mutants if not reason_for(mutant, listed)]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        build = Build(folder)
        program = folder / "suites"
        build.link(build.original, {}, program)
        order = stages(build, program, folder)
        print(f"{len(mutants)} mutants; the suites take {sum(seconds for seconds, *_ in order):.1f} s", flush=True)
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            for result in pool.map(lambda mutant: judge(build, order, mutant), mutants):
                results.append(result)
                if result["verdict"] == "survived":
                    print(f"survived: {result['file']}:{result['line']}: {result['change']}: {result['text']}", flush=True)
                if options.json:
                    pathlib.Path(options.json).write_text(json.dumps(results, indent=1) + "\n")
    table(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
