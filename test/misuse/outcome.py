"""Commits one crime under one allocator and tells what came of it: the words stand in crime.h."""

import os
import re
import signal
import subprocess

# Of several runs of a crime the outcome that comes first here counts.
WORST_FIRST = ["corrupted", "crashed", "hung", "unnoticed", "late", "stopped"]
IMPOSSIBLE = "-"

CORRUPTED, TRAPPED, CANNOT = 40, 41, 42  # exit statuses, see crime.h
TIMEOUT_S = 30
LIVED_IN_BYTES = 3000000  # enough for osmem to treat its heap as a large one
RACES = 5  # runs of what depends on chance
GUARD = {"OSMEM_CONF": "guard:on"}


class Crime:
    """A line of `crimes list`."""

    def __init__(self, line):
        self.name, self.kind, self.shipped, self.guarded = line.split("\t")
        self.is_innocent = self.kind == "innocent"  # nothing is wrong: it tests the model


class Outcome:
    def __init__(self, word, said, trapped=False):
        self.word = word  # of WORST_FIRST, or IMPOSSIBLE
        self.said = said  # the last line of the allocator, or of the model
        self.trapped = trapped

    def meets(self, expected, may_be_late):
        """Whether this is what a crime is expected to lead to under osmem."""
        stopped = self.word in ("stopped", "late")
        if expected == "stopped":
            return stopped
        if expected == "trapped":
            return stopped and self.trapped
        if expected == "unnoticed":
            return self.word == expected
        if expected == "unnoticed or trapped":
            return self.word == "unnoticed" or self.trapped
        in_time = self.word == "stopped" or may_be_late and stopped
        return in_time and re.search(r"^osmem: .*(%s)" % expected, self.said) is not None

    def __str__(self):
        return self.word + (": " + self.said if self.said else "")


def crimes_listed(program):
    listing = subprocess.run([program, "list"], stdout=subprocess.PIPE, check=True)
    return [Crime(line) for line in listing.stdout.decode().splitlines()]


def last_line(text):
    lines = text.decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def judge(status, output, error):
    """The outcome of a run that ended."""
    progress, said = output.decode(errors="replace"), last_line(error)
    when = "late" if "committed\n" in progress else "stopped"
    if status == 0:
        return Outcome("unnoticed", said)
    if status == CORRUPTED:
        return Outcome("corrupted", last_line(output))
    if status == CANNOT:
        return Outcome(IMPOSSIBLE, last_line(output))
    if status == TRAPPED:
        return Outcome(when, last_line(output), trapped=True)
    if said:
        return Outcome(when, said)
    name = signal.Signals(-status).name if status < 0 else "exit status %d" % status
    return Outcome("crashed", name)


def commit_once(program, crime, environment, live_bytes):
    try:
        done = subprocess.run(
            [program, "run", crime.name, str(live_bytes)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(os.environ, LIBC_FATAL_STDERR_="1", **environment),
            timeout=TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        return Outcome("hung", "after %d s" % TIMEOUT_S)
    return judge(done.returncode, done.stdout, done.stderr)


def commit(program, crime, environment):
    """In a fresh heap and in one that has been lived in: the outcomes of all runs, worst first."""
    times = RACES if crime.kind == "racing" else 1
    outcomes = []
    for live_bytes in [0, LIVED_IN_BYTES] * times:
        outcomes.append(commit_once(program, crime, environment, live_bytes))
        if outcomes[-1].word == "hung":
            break  # that took long enough
    order = WORST_FIRST + [IMPOSSIBLE]
    return sorted(outcomes, key=lambda outcome: order.index(outcome.word))


def knows_guard(program, crimes, library):
    """Whether this build of osmem has the guarded mode: one that has not says so."""
    innocent = next(crime for crime in crimes if crime.is_innocent)
    got = commit_once(program, innocent, dict(GUARD, LD_PRELOAD=library), 0)
    return "unknown option" not in got.said
