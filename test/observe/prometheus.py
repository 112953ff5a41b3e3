"""prometheus.py FILE: whether that is Prometheus' text exposition, by Prometheus' own parser where there is one.

Prints how many families and samples there are. Without python3-prometheus-client (Debian) the grammar is checked line by
line, which is less.
"""

import re
import sys

LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{%s(?:,%s)*\})? [0-9]+$" % (LABEL, LABEL))


def families_by_grammar(text):
    families = {}
    assert text.endswith("\n"), "the last line does not end"
    for line in text.splitlines():
        words = line.split(" ", 3)
        if line.startswith("# HELP "):
            assert words[2] not in families, "again: " + line
            families[words[2]] = []
        elif line.startswith("# TYPE "):
            assert words[2] == list(families)[-1] and words[3] in ("gauge", "counter"), line
        else:
            match = SAMPLE.match(line)
            assert match and match.group(1) == list(families)[-1], line
            families[match.group(1)].append(line)
    return families


def families_by_parser(text):
    from prometheus_client.parser import text_string_to_metric_families

    families = {}
    for family in text_string_to_metric_families(text):
        name = family.name + ("_total" if family.type == "counter" else "")
        assert family.type in ("gauge", "counter") and family.documentation, family
        assert name not in families, "again: " + name
        families[name] = family.samples
        keys = [(sample.name, tuple(sorted(sample.labels.items()))) for sample in family.samples]
        assert len(keys) == len(set(keys)), "a sample twice in " + name
        assert all(sample.name == name for sample in family.samples), name
    return families


with open(sys.argv[1]) as file:
    text = file.read()
families = families_by_grammar(text)
try:
    parsed = families_by_parser(text)
    assert {name: len(samples) for name, samples in parsed.items()} == {
        name: len(samples) for name, samples in families.items() if samples
    }
except ImportError:
    print("no prometheus_client here: checked by grammar alone")
assert "osmem_allocated_bytes" in families and "osmem_system_calls_total" in families
print("%d families, %d samples" % (len(families), sum(map(len, families.values()))))
