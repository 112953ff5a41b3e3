#!/usr/bin/env python3
"""Line and branch coverage of the core (osmem/ and utils/) by the suites.

    test/coverage/coverage.py [--uncovered] [--keep FOLDER] [TARGET PATTERN]…

Builds the suites with clang's coverage (--config=coverage), runs each, and prints for every file how many lines and
branches were run; with --uncovered also those that were not. A branch is one outcome of one condition. Code in headers
counts once, wherever it is used. Counters live in a file that is mapped by the suites and all of their children, so
what a child runs before it dies counts too.
"""

import argparse
import collections
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDERS = ("osmem/", "utils/")
TARGETS = ["//test/core/...", "//test/model/...", "//test/threads/...", "//test/utils/...", "//test/fuzz/...",
           "//test/heaps/...", "//test/guard/...", "//test/observe/...", "//test/map:heap_map_test",
           "//test/machines:large_pages_test"]
# They look at the instructions of an optimised build.
NOT_RUN = {"//test/core:fast_path_test", "//test/threads:steps_test"}


def tool(name):
    for candidate in (name, name + "-14"):
        if shutil.which(candidate):
            return candidate
    print(f"coverage.py: skipped: no {name} here (Debian's packages clang and llvm)")
    sys.exit(0)


def bazel(*arguments):
    return subprocess.run(["./bazelw", *arguments], cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE).stdout


def suites(patterns):
    """The suites in C++, as Bazel knows them, by label."""
    those = " + ".join(patterns)
    found = bazel("query", "--output=xml", f"kind(cc_test, tests({those})) except attr(tags, manual, {those})")
    rules = xml.etree.ElementTree.fromstring(found.partition("\n")[2])  # without the line that says XML 1.1
    by_label = {rule.get("name"): rule for rule in rules}
    return {label: by_label[label] for label in sorted(set(by_label) - NOT_RUN)}


def run(binary, rule, folder):
    """Runs a suite as Bazel would have; its counters go to a file of its own."""
    arguments = [each.get("value") for each in rule.findall("list[@name='args']/string")]
    environment = dict(os.environ, OSMEM_TEST_SEED="1")
    for pair in rule.findall("dict[@name='env']/pair"):
        environment.update([[each.get("value") for each in pair]])
    label = rule.get("name")
    name = label.removeprefix("//").replace("/", "_").replace(":", "_")
    environment["LLVM_PROFILE_FILE"] = f"{folder}/{name}%c.profraw"
    with open(f"{folder}/{name}.log", "w") as log:
        status = subprocess.run([binary, *arguments], cwd=ROOT, env=environment, stdout=log, stderr=log).returncode
    if status != 0:
        print(f"{label} failed; see {log.name}")
    return status == 0


def relative(path):
    for folder in FOLDERS:
        at = path.find("/" + folder)
        if at >= 0:
            path = path[at + 1:]
    return path if path.startswith(FOLDERS) else None


def lines_of(segments):
    """
    Whether each line with code was run, from [line, column, count, has_count, is_entry, is_gap] as of llvm-cov, and as
    llvm-cov itself does it: by the region that reaches into the line, and those that begin on it.
    """
    starting = collections.defaultdict(list)
    for segment in segments:
        starting[segment[0]].append(segment)
    lines, reaching = {}, None
    for line in range(segments[0][0], segments[-1][0] + 1) if segments else []:
        on_line = starting[line]
        begun = [segment[2] for segment in on_line if segment[3] and segment[4] and not segment[5]]
        is_skipped = bool(on_line) and not on_line[0][3] and on_line[0][4]
        if not is_skipped and (begun or reaching is not None and reaching[3]):
            count = reaching[2] if reaching is not None and reaching[3] else 0
            lines[line] = max([count, *begun]) > 0
        reaching = on_line[-1] if on_line else reaching
    return lines


def branches_of(function):
    """Each outcome of each condition: (file, line, column, outcome) and whether it was seen."""
    for line, column, _, _, true, false, file, *_ in function["branches"]:
        path = relative(function["filenames"][file])
        if path is not None:
            yield (path, line, column, True), true > 0
            yield (path, line, column, False), false > 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--uncovered", action="store_true")
    parser.add_argument("--keep", help="where to leave counters and logs")
    parser.add_argument("patterns", nargs="*", default=TARGETS)
    options = parser.parse_args()
    profdata, cov = tool("llvm-profdata"), tool("llvm-cov")
    tool("clang")

    rules = suites(options.patterns)
    labels = list(rules)
    subprocess.run(["./bazelw", "build", "--config=coverage", *labels], cwd=ROOT, check=True)
    out = pathlib.Path(bazel("info", "--config=coverage", "bazel-bin").strip())
    folder = options.keep or tempfile.mkdtemp()
    os.makedirs(folder, exist_ok=True)
    binaries = [str(out / label.removeprefix("//").replace(":", "/")) for label in labels]
    passed = [run(binary, rule, folder) for binary, rule in zip(binaries, rules.values())]

    profile = f"{folder}/all.profdata"
    raw = [str(path) for path in pathlib.Path(folder).glob("*.profraw")]
    subprocess.run([profdata, "merge", "-o", profile, *raw], check=True)
    objects = [binaries[0]] + [word for binary in binaries[1:] for word in ("-object", binary)]
    exported = subprocess.run([cov, "export", f"-instr-profile={profile}", *objects], check=True,
                              stdout=subprocess.PIPE).stdout
    data = json.loads(exported)["data"][0]

    lines = {}
    for file in data["files"]:
        path = relative(file["filename"])
        if path is not None:
            lines[path] = lines_of(file["segments"])
    branches = collections.defaultdict(bool)
    for function in data["functions"]:
        for branch, seen in branches_of(function):
            branches[branch] |= seen

    totals = [0, 0, 0, 0]
    print(f"{'file':28}{'lines':>8}{'run':>8}{'branches':>10}{'run':>8}")
    for path in sorted(lines):
        of_file = [seen for (where, *_), seen in branches.items() if where == path]
        counts = [len(lines[path]), sum(lines[path].values()), len(of_file), sum(of_file)]
        totals = [total + count for total, count in zip(totals, counts)]
        print_row(path, counts)
    print_row("all", totals)
    if options.uncovered:
        for path in sorted(lines):
            source = (ROOT / path).read_text().splitlines()
            for line, was_run in sorted(lines[path].items()):
                if not was_run:
                    print(f"{path}:{line}: not run: {source[line - 1].strip()}")
            for (where, line, column, outcome), seen in sorted(branches.items()):
                if where == path and not seen:
                    word = "true" if outcome else "false"
                    print(f"{path}:{line}:{column}: never {word}: {source[line - 1].strip()}")
    if not options.keep:
        if all(passed):
            shutil.rmtree(folder)
        else:
            print("logs are in", folder)
    return 0 if all(passed) else 1


def print_row(path, counts):
    lines, lines_run, branches, branches_run = counts

    def share(part, whole):
        return f"{100 * part / whole:.1f} %" if whole else "-"

    print(f"{path:28}{lines:8}{share(lines_run, lines):>8}{branches:10}{share(branches_run, branches):>8}")


if __name__ == "__main__":
    sys.exit(main())
