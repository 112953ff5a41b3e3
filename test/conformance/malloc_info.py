"""Prints the different elements of malloc_info's document, of the allocator that this process has. Fails if its numbers
do not add up."""

import ctypes
import tempfile
import threading
import xml.etree.ElementTree

library = ctypes.CDLL(None)
library.fopen.restype = ctypes.c_void_p
library.fclose.argtypes = [ctypes.c_void_p]
library.malloc_info.argtypes = [ctypes.c_int, ctypes.c_void_p]

# Another thread has a heap, or arena, of its own.
library.malloc.restype = ctypes.c_void_p
library.malloc.argtypes = [ctypes.c_size_t]
library.free.argtypes = [ctypes.c_void_p]


def fill():
    blocks = [library.malloc(size) for size in range(1, 5000, 7)]
    for block in blocks[::2]:
        library.free(block)


thread = threading.Thread(target=fill)
thread.start()
thread.join()
fill()
library.malloc(10**6)

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


def number(element, path, name):
    return int(element.find(path).get(name))


root = document.getroot()
heaps = root.findall("heap")
assert [heap.get("nr") for heap in heaps] == [str(index) for index in range(len(heaps))] and heaps
for path, name in (
    ("total[@type='fast']", "count"),
    ("total[@type='fast']", "size"),
    ("total[@type='rest']", "count"),
    ("total[@type='rest']", "size"),
    ("system[@type='current']", "size"),
    ("system[@type='max']", "size"),
    ("aspace[@type='total']", "size"),
):
    assert sum(number(heap, path, name) for heap in heaps) == number(root, path, name), (path, name)
for heap in heaps:
    free = 0
    for size in heap.find("sizes").findall("size"):
        smallest, largest, total, count = (int(size.get(name)) for name in ("from", "to", "total", "count"))
        assert count > 0 and smallest * count <= total <= largest * count, size.attrib
        free += total
    held = number(heap, "total[@type='fast']", "size") + number(heap, "total[@type='rest']", "size")
    assert free <= held <= number(heap, "system[@type='current']", "size"), (free, held)
assert number(root, "total[@type='mmap']", "count") >= 1
assert number(root, "total[@type='mmap']", "size") >= 10**6

# Which sizes are free, and whether some are unsorted, is no matter of form; nor are arenas' subheaps,
# which only those of glibc have.
for path in sorted(set(paths(document.getroot()))):
    if "/unsorted" not in path and "subheaps" not in path:
        print(path)
