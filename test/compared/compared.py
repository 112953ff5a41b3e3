"""The allocators that are found on this machine, and tables that set them side by side.

For the commands `table` of several folders of test/; their scripts put this folder on PYTHONPATH.
"""

import subprocess

OSMEM = "osmem"


class Problem(Exception):
    """No list of allocators; says why."""


def allocators(osmem, choice=()):
    """Name -> library for LD_PRELOAD, None for the C library's own; osmem first.

    As the command `osmem` finds them: `choice` are further arguments of its `compare --list`.
    """
    listing = subprocess.run(
        [osmem, "compare", "--list"] + list(choice),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
    )
    if listing.returncode != 0:
        raise Problem(listing.stderr.strip().split("\n")[0])
    found = dict(line.split(None, 1) for line in listing.stdout.splitlines())
    names = sorted(found, key=lambda name: name != OSMEM)
    return {name: found[name] if found[name].startswith("/") else None for name in names}


def text_lines(rows):
    """Rows of cells, the first the head, as aligned columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]


def markdown_lines(rows):
    head, *rest = ["| " + " | ".join(row) + " |" for row in rows]
    return [head, "|" + "---|" * len(rows[0])] + rest
