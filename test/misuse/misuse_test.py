"""Commits every crime on osmem: each has to lead to what its table expects.

    misuse_test.py CRIMES LIBRARY CARELESS [--guarded]

Nothing may ever be corrupted, crash without a word or hang: nothing of the kind is expected of
osmem. That the suite would see it, it shows on CARELESS, an allocator that checks nothing.
--guarded: the same of OSMEM_CONF=guard:on, where this build knows it.
"""

import sys

import outcome

OF_CARELESS = {
    "none-small": "unnoticed",
    "free-at-once-small": "corrupted",  # hands the block out twice
    "free-stack": "crashed",  # follows what stands there
    "free-small-and-16": "crashed",
    "realloc-at-once-small": "corrupted",
    "poison-stack-small": "corrupted",  # hands out the stack
    "poison-letters-small": "crashed",
    "overflow-slack-by-1": "unnoticed",
    "overflow-at-the-edge-by-64": "crashed",  # of the size of the block behind
    "write-kept-mapped": "crashed",
}


def check_expected(program, crimes, library, guarded):
    environment = {"LD_PRELOAD": library}
    if guarded:
        environment.update(outcome.GUARD)
    for crime in crimes:
        expected = crime.guarded if guarded else crime.shipped
        late = crime.kind == "racing"
        for got in outcome.commit(program, crime, environment):
            if got.meets(expected, may_be_late=late):
                continue
            # One byte in 256 is the canary's own, whose value is new in each process.
            again = outcome.commit(program, crime, environment) if guarded else [got]
            if not all(other.meets(expected, may_be_late=late) for other in again):
                yield "%s: expected %s, got %s" % (crime.name, expected, got)


def check_careless(program, crimes, careless):
    for crime in crimes:
        expected = OF_CARELESS.get(crime.name)
        if expected:
            got = outcome.commit_once(program, crime, {"LD_PRELOAD": careless}, 0)
            if got.word != expected:
                yield "%s, careless: expected %s, got %s" % (crime.name, expected, got)


def main():
    program, library, careless = sys.argv[1:4]
    guarded = "--guarded" in sys.argv[4:]
    crimes = outcome.crimes_listed(program)
    if guarded and not outcome.knows_guard(program, crimes, library):
        print("SKIPPED: this build has no guarded mode")
        return 0
    failures = list(check_expected(program, crimes, library, guarded))
    failures += check_careless(program, crimes, careless)
    for failure in failures:
        print("FAILED: " + failure)
    print("%d crimes, %d unexpected outcomes" % (len(crimes), len(failures)))
    return 1 if failures or not crimes else 0


if __name__ == "__main__":
    sys.exit(main())
