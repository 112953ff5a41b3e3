"""compare.py INSIDE OUTSIDE MAP CONF: the three JSON documents of one process have the same numbers."""

import json
import sys

inside, outside, map_file = (json.load(open(path))["osmem"] for path in sys.argv[1:4])
conf = sys.argv[4]


def strip(document, names):
    """Without numbers that may differ, wherever they are."""
    if isinstance(document, dict):
        return {key: strip(value, names) for key, value in document.items() if key not in names}
    if isinstance(document, list):
        return [strip(value, names) for value in document]
    return document


assert inside["os_stats"]["allocated_blocks"] > 5000 and len(inside["heaps"]) == 3, inside["os_stats"]
assert inside["os_stats"]["mapped"] > 0 and inside["os_stats"]["mapped_cached"] > 0 or conf == "guard:on"
if conf:
    assert inside["os_stats"]["requested"] < inside["os_stats"]["allocated"] + inside["os_stats"]["mapped"]

# To look at a page may bring it in, and the map needs some.
changing = {"resident"}
# Freed mapped blocks of the guarded mode are kept where nobody outside looks.
if conf == "guard:on":
    changing |= {"mapped_cached", "retained"}
for other, name in (outside, "outside"), (map_file, "of the map"):
    # A map does not tell what was asked for of a single heap's blocks.
    ignored = changing | ({"requested"} if name == "of the map" else set())
    a, b = strip(inside, ignored), strip(other, ignored)
    for key in a:
        assert a[key] == b[key], "%s %s:\n%s\n%s" % (name, key, a[key], b[key])
    assert abs(inside["os_stats"]["resident"] - other["os_stats"]["resident"]) <= 64 * 4096
assert inside["os_stats"]["requested"] == map_file["os_stats"]["requested"]
