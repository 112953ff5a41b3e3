"""Rules x allocators: which of them keeps what.

    bazel run //test/conformance:table -- [OPTION]...

The words are those of the programs: kept, broken, crashed, hung, skipped (there is no such function);
(broken) and the like is a deviation that a standard allows, see the rule's table in test/conformance.
"""

import argparse
import os
import subprocess
import sys

import compared

FOLDER = "test/conformance"
PROGRAMS = ("library", "operators", "replaced")
GOOD = ("kept", "skipped")


class Rule:
    def __init__(self, line):
        self.outcome, self.clause, self.name, self.deviation = line.rstrip("\n").split("\t")

    def is_bad(self):
        return self.outcome not in GOOD and not self.deviation

    def cell(self):
        allowed = self.deviation and self.outcome not in GOOD
        return "(%s)" % self.outcome if allowed else self.outcome


def rules_on(library):
    environment = dict(os.environ)
    environment.pop("LD_PRELOAD", None)
    if library:
        environment["LD_PRELOAD"] = library
    for program in PROGRAMS:
        run = subprocess.run(
            [os.path.join(FOLDER, program + "_rules"), "--each"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            universal_newlines=True,
        )
        for line in run.stdout.splitlines():
            yield Rule(line)


def summary(title, results, belongs):
    counts = [str(sum(map(belongs, rules))) for rules in results.values()]
    return [title, ""] + counts


def main():
    parser = argparse.ArgumentParser(
        prog="table", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--allocators", metavar="A,B", help="only these, and glibc")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--all", action="store_true", help="also the rules that everyone keeps")
    options = parser.parse_args()
    choice = ["--allocators", options.allocators] if options.allocators else []
    try:
        libraries = compared.allocators("tools/osmem", choice)
    except compared.Problem as problem:
        sys.exit("table: %s" % problem)
    results = {}
    for name, library in libraries.items():
        print(name, file=sys.stderr, flush=True)
        results[name] = list(rules_on(library))
    if len({len(rules) for rules in results.values()}) != 1:
        sys.exit("table: a program of rules ended early")
    rows = [["rule", "clause"] + list(results)]
    for same in zip(*results.values()):
        if options.all or any(rule.outcome not in GOOD for rule in same):
            rows.append([same[0].name, same[0].clause] + [rule.cell() for rule in same])
    number = len(results[compared.OSMEM])
    rows.append(summary("kept or not there, of %d" % number, results, lambda rule: rule.outcome in GOOD))
    rows.append(summary("allowed deviations", results, lambda r: r.outcome not in GOOD and r.deviation != ""))
    rows.append(summary("broken", results, Rule.is_bad))
    print("\n".join((compared.markdown_lines if options.markdown else compared.text_lines)(rows)))
    return 1 if any(rule.outcome not in GOOD for rule in results[compared.OSMEM]) else 0


if __name__ == "__main__":
    sys.exit(main())
