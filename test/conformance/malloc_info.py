"""Prints the different elements of malloc_info's document, of the allocator that this process has."""

import ctypes
import tempfile
import xml.etree.ElementTree

library = ctypes.CDLL(None)
library.fopen.restype = ctypes.c_void_p
library.fclose.argtypes = [ctypes.c_void_p]
library.malloc_info.argtypes = [ctypes.c_int, ctypes.c_void_p]

with tempfile.NamedTemporaryFile() as file:
    stream = library.fopen(file.name.encode(), b"w")
    assert library.malloc_info(0, stream) == 0
    assert library.fclose(stream) == 0
    document = xml.etree.ElementTree.parse(file.name)


def paths(element, above=""):
    numbers = sorted(name for name in element.attrib if name not in ("type", "version"))
    words = [element.get(name) for name in ("type", "version") if element.get(name)]
    path = "%s/%s" % (above, " ".join([element.tag] + words + numbers))
    yield path
    for child in element:
        yield from paths(child, path)


# Which sizes are free, and whether some are unsorted, is no matter of form; nor are arenas' subheaps,
# which only those of glibc have.
for path in sorted(set(paths(document.getroot()))):
    if "/unsorted" not in path and "subheaps" not in path:
        print(path)
