"""Runs the programs of this folder on osmem's drop-in, or on every allocator found here.

  test CASE [--long]     one case of catalogue.py on osmem; exit status 0 if it passed or was skipped
  table [options]        all of them on osmem, glibc and the allocators that `osmem compare --list` knows
"""

import argparse
import os
import re
import signal
import subprocess
import sys

import catalogue
import compared

FOLDER = "test/faults"
OSMEM = "malloc/libosmem-malloc.so"
SKIPPED = 77
SHORT_S, LONG_S = 250, 850  # before a program counts as hanging


class Verdict:
    """How one run ended: "passed", "skipped" or what else, and what the program said."""

    def __init__(self, kind, text=""):
        self.kind, self.text = kind, text

    def __str__(self):
        return self.kind + (": " + self.text if self.text else "")


def command_of(case, library, long):
    words = catalogue.CASES[case].command.split()
    found = {"PLUGIN": FOLDER + "/libplugin.so", "ALLOCATOR": library}
    words = [os.path.abspath(found[word]) if word in found else word for word in words]
    return [os.path.join(FOLDER, words[0])] + words[1:] + (["long"] if long else [])


def run(case, library, options):
    """`library` None: the program on what it has, glibc's allocator."""
    preloads = "ALLOCATOR" not in catalogue.CASES[case].command
    if library is None and not preloads:
        return Verdict("skipped", "nothing to load")
    environment = dict(os.environ)
    environment.pop("LD_PRELOAD", None)
    if library is not None and preloads:
        environment["LD_PRELOAD"] = os.path.abspath(library)
    # A group of its own, so that children of a program that hangs end with it.
    process = subprocess.Popen(
        command_of(case, library, options.long),
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        output = process.communicate(timeout=options.limit)[1]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return Verdict("hangs")
    lines = output.decode(errors="replace").strip().splitlines()
    text = lines[-1] if lines else ""
    if "ld.so:" in output.decode(errors="replace"):
        return Verdict("failed", "the library was not loaded")
    if process.returncode == SKIPPED:
        return Verdict("skipped", text)
    if process.returncode < 0:
        return Verdict(signal.Signals(-process.returncode).name, text)
    return Verdict("passed") if process.returncode == 0 else Verdict("failed", text)


def test(options):
    verdict = run(options.case, OSMEM, options)
    print(verdict)
    return 0 if verdict.kind in ("passed", "skipped") else 1


# ---- the table ---------------------------------------------------------------------------------


def allocators(options):
    found = compared.allocators("tools/osmem")
    found["osmem"] = os.path.abspath(OSMEM)
    names = list(found)
    if options.allocators:
        wanted = options.allocators.split(",")
        unknown = set(wanted) - set(names)
        if unknown:
            sys.exit("no such allocator here: " + ", ".join(sorted(unknown)))
        names = [name for name in names if name in wanted]
    return {name: found[name] for name in names}


def repeat(case, library, options):
    """The cell, and what the first run that did not pass said."""
    verdicts = [run(case, library, options) for _ in range(options.repeat)]
    bad = [verdict for verdict in verdicts if verdict.kind not in ("passed", "skipped")]
    if bad:
        how = "%d of %d " % (len(bad), len(verdicts)) if len(verdicts) > 1 else ""
        return how + bad[0].kind, str(bad[0])
    skipped = [verdict for verdict in verdicts if verdict.kind == "skipped"]
    return ("–", str(skipped[0])) if skipped else ("pass", "")


def table(options):
    libraries = allocators(options)
    names = [name for name in catalogue.CASES if re.search(options.filter, name)]
    rows, remarks, failed = [["fault"] + list(libraries)], [], False
    for name in names:
        row = [catalogue.CASES[name].title]
        for allocator, library in libraries.items():
            cell, remark = repeat(name, library, options)
            row.append(cell)
            if remark:
                remarks.append("%s, %s: %s" % (name, allocator, remark))
            failed |= allocator == "osmem" and cell not in ("pass", "–")
            print("%-34s %-18s %s" % (name, allocator, remark or cell), file=sys.stderr, flush=True)
        rows.append(row)
    passed = [sum(row[i] == "pass" for row in rows[1:]) for i in range(1, len(rows[0]))]
    rows.append(["**passed**" if options.markdown else "passed"] + ["%d" % count for count in passed])
    print("\n".join((compared.markdown_lines if options.markdown else compared.text_lines)(rows)))
    return 1 if failed else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command")
    one = commands.add_parser("test")
    one.add_argument("case", choices=sorted(catalogue.CASES))
    every = commands.add_parser("table")
    for each in one, every:
        each.add_argument("--long", action="store_true", help="the large counts")
        each.add_argument("--limit", type=int, metavar="S", help="seconds until a program counts as hanging")
    every.add_argument("--repeat", type=int, default=1, metavar="N", help="each N times; all have to pass")
    every.add_argument("--filter", default="", metavar="REGEX", help="only the faults whose name matches")
    every.add_argument("--allocators", metavar="A,B", help="only these")
    every.add_argument("--markdown", action="store_true")
    options = parser.parse_args()
    if options.command is None:
        parser.error("test or table?")
    options.limit = options.limit or (LONG_S if options.long else SHORT_S)
    return test(options) if options.command == "test" else table(options)


if __name__ == "__main__":
    sys.exit(main())
