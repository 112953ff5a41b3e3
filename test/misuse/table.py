"""The table of outcomes: what every allocator found here does about every crime.

    bazel run //test/misuse:table -- [OPTION]...

Each crime is committed in a fresh heap and in one that has been lived in, those that depend on
chance several times, and the worst outcome counts. What the words mean stands at the head of
test/misuse/crime.h: stopped (at once), late, unnoticed, corrupted, crashed, hung; `-` is a crime
that could not be committed.
"""

import argparse
import json
import os
import re
import sys

import compared
import outcome

OSMEM, GUARDED, BASE = "osmem", "osmem guarded", "glibc"
WORDS = list(reversed(outcome.WORST_FIRST))
PLACE_BEGIN, PLACE_END = "<!-- misuse table -->\n", "<!-- end of misuse table -->"
MEANING = {
    "stopped": "stopped at once",
    "late": "stopped late",
    "unnoticed": "unnoticed",
    "corrupted": "corrupted itself",
    "crashed": "crashed without a word",
    "hung": "hung",
    outcome.IMPOSSIBLE: "could not be committed",
}


class Problem(Exception):
    """Ends the command with status 2."""


def say(text, end="\n"):
    print(text, end=end, file=sys.stderr, flush=True)


# ---- what is run -------------------------------------------------------------------------------


def runfile(path):
    if not os.path.isfile(path):
        raise Problem("%s is missing: start this by bazel run //test/misuse:table" % path)
    return os.path.abspath(path)


def allocators_wanted(options, crimes):
    """Name -> environment, as `osmem compare` finds the libraries."""
    try:
        libraries = compared.allocators(options.osmem, options.choice)
    except compared.Problem as problem:
        raise Problem(str(problem))
    found = {}
    for name, path in libraries.items():
        found[name] = {"LD_PRELOAD": path} if path else {}
        if name == OSMEM and outcome.knows_guard(options.crimes, crimes, path):
            found[GUARDED] = dict(outcome.GUARD, LD_PRELOAD=path)
    names = [OSMEM, GUARDED, BASE]
    order = [name for name in names if name in found] + [n for n in found if n not in names]
    return {name: found[name] for name in order}


def run(options, crimes, allocators):
    """Crime's name -> allocator -> its outcomes, the worst first."""
    results, is_terminal = {}, sys.stderr.isatty()
    for index, crime in enumerate(crimes):
        where = "[%d/%d] " % (index + 1, len(crimes))
        if is_terminal:
            say("\r\033[K" + where + crime.name, end="")
        elif index == 0 or crime.kind != crimes[index - 1].kind:
            say(where + crime.kind)
        results[crime.name] = {
            name: outcome.commit(options.crimes, crime, environment)
            for name, environment in allocators.items()
        }
    if is_terminal:
        say("\r\033[K", end="")
    return results


# ---- counts ------------------------------------------------------------------------------------


def kinds_of(crimes):
    return list(dict.fromkeys(crime.kind for crime in crimes if not crime.is_innocent))


def count(crimes, results, name, words, kind=None):
    return sum(
        results[crime.name][name][0].word in words
        for crime in crimes
        if not crime.is_innocent and kind in (None, crime.kind)
    )


STOPPED = ("stopped", "late")
BAD = ("corrupted", "crashed", "hung")


def kind_rows(crimes, results, names):
    """Kind, number of crimes, and for each allocator: stopped, and what went badly."""
    for kind in kinds_of(crimes):
        row = [kind, str(sum(crime.kind == kind for crime in crimes))]
        for name in names:
            bad = count(crimes, results, name, BAD, kind)
            stopped = count(crimes, results, name, STOPPED, kind)
            row.append("%d%s" % (stopped, " (%d!)" % bad if bad else ""))
        yield row


def total_rows(crimes, results, names):
    for word in WORDS + [outcome.IMPOSSIBLE]:
        counts = [count(crimes, results, name, (word,)) for name in names]
        if any(counts):
            yield [MEANING[word], ""] + [str(number) for number in counts]


def crime_rows(crimes, results, names):
    for crime in crimes:
        yield [crime.name, crime.kind] + [results[crime.name][name][0].word for name in names]


# ---- output ------------------------------------------------------------------------------------


def print_rows(head, rows):
    print("\n".join(compared.text_lines([head] + list(rows))) + "\n")


def markdown_rows(head, rows):
    return "\n".join(compared.markdown_lines([head] + list(rows))) + "\n"


def tables(crimes, results, names):
    number = sum(not crime.is_innocent for crime in crimes)
    yield ["stopped, by kind", "crimes"] + names, kind_rows(crimes, results, names)
    yield ["all crimes", str(number)] + names, total_rows(crimes, results, names)
    yield ["crime", "kind"] + names, crime_rows(crimes, results, names)


def markdown(crimes, results, names):
    by_kind, totals, each = [
        markdown_rows(head, rows) for head, rows in tables(crimes, results, names)
    ]
    return (
        by_kind
        + "\n"
        + totals
        + "\n<details><summary>Every crime</summary>\n\n"
        + each
        + "\n</details>\n"
    )


def markdown_write(path, text):
    """Into the place that a document has for it, else a file of its own."""
    before, after = "", ""
    if os.path.exists(path):
        with open(path) as file:
            head, begin, rest = file.read().partition(PLACE_BEGIN)
        _, end, tail = rest.partition(PLACE_END)
        if end:
            before, after = head + begin + "\n", end + tail
    with open(path, "w") as file:
        file.write(before + text + after)


def document(crimes, results, allocators):
    return {
        "allocators": allocators,
        "crimes": [
            {
                "name": crime.name,
                "kind": crime.kind,
                "outcomes": {
                    name: [{"outcome": each.word, "said": each.said} for each in outcomes]
                    for name, outcomes in results[crime.name].items()
                },
            }
            for crime in crimes
        ],
    }


def warn_of_innocents(crimes, results):
    for crime in crimes:
        for name, outcomes in results[crime.name].items():
            if crime.is_innocent and outcomes[0].word != "unnoticed":
                say("%s fails without a crime, %s: %s" % (name, crime.name, outcomes[0]))


# ---- the command -------------------------------------------------------------------------------


def options_parse(arguments):
    parser = argparse.ArgumentParser(
        prog="table",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--filter", metavar="RE", default="", help="only crimes whose name or kind matches")
    add("--allocators", metavar="A,B", help="only these, and glibc")
    add("--allocator", dest="added", action="append", default=[], metavar="NAME=PATH",
        help="one more, a library for LD_PRELOAD")
    add("--markdown", metavar="FILE", help="the tables; docs/reliability.md has a place for them")
    add("--json", metavar="FILE", help="all outcomes, with what was said")
    options = parser.parse_args(arguments)
    try:
        options.filter = re.compile(options.filter)
    except re.error as error:
        parser.error("argument --filter: %s" % error)
    options.choice = ["--allocators", options.allocators] if options.allocators else []
    for each in options.added:
        options.choice += ["--also", each]
    return options


def main():
    options = options_parse(sys.argv[1:])
    os.environ.pop("LD_PRELOAD", None)
    options.crimes, options.osmem = runfile("test/misuse/crimes"), runfile("tools/osmem")
    # `bazel run` starts us elsewhere than the user is.
    os.chdir(os.environ.get("BUILD_WORKING_DIRECTORY", "."))
    listed = outcome.crimes_listed(options.crimes)
    allocators = allocators_wanted(options, listed)
    crimes = [c for c in listed if options.filter.search(c.name) or options.filter.search(c.kind)]
    if not crimes:
        raise Problem("no crime matches --filter '%s'" % options.filter.pattern)
    results, names = run(options, crimes, allocators), list(allocators)
    for head, rows in reversed(list(tables(crimes, results, names))):
        print_rows(head, rows)
    warn_of_innocents(crimes, results)
    if options.markdown:
        markdown_write(options.markdown, markdown(crimes, results, names))
    if options.json:
        with open(options.json, "w") as file:
            json.dump(document(crimes, results, allocators), file, indent=1)
            file.write("\n")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Problem, OSError) as problem:
        say("table: %s" % problem)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
