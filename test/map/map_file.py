"""Maps as files (osmem/map_format.h), read by nothing of the tool's: the other side of its tests."""

import struct

STATISTICS, HEAP, REGION, MAPPING, SITES, TEXT, END = range(1, 8)
GRANULE, LINE = 16, 64
NO_RESIDENCY = 1  # a flag


class Block:
    """What the page tells of a block: where, how long, and its state."""

    def __init__(self, address, size, state):
        self.address, self.size, self.state = address, size, state

    def __repr__(self):
        return f"0x{self.address:x}: {self.size} {self.state}"


def region_blocks(payload, page, has_residency):
    """The blocks of a region in address order, its metadata and untouched end among them."""
    address, _heap, first, top, committed, _fresh, lines = struct.unpack_from("<QQIIIIQ", payload)
    pages = -(-committed * GRANULE // page) if has_residency else 0
    at = 40 + -(-pages // 64) * 8
    tags = struct.unpack_from(f"<{2 * lines}Q", payload, at)
    remote = struct.unpack_from(f"<{lines}Q", payload, at + 16 * lines)
    resident = struct.unpack_from(f"<{-(-pages // 64)}Q", payload, 40)
    starts = []
    for line in range(lines):
        word = tags[2 * line]
        while word:
            bit = (word & -word).bit_length() - 1
            granule = first + line * LINE + bit
            free = (tags[2 * line + 1] | remote[line]) >> bit & 1
            if granule < top:
                starts.append((granule, "free" if free else "used"))
            word &= word - 1
    starts.append((top, None))
    blocks = [Block(address, first * GRANULE, "metadata")]
    for (begin, state), (end, _) in zip(starts, starts[1:]):
        blocks.append(Block(address + begin * GRANULE, (end - begin) * GRANULE, state))
    if top < committed:
        blocks.append(Block(address + top * GRANULE, (committed - top) * GRANULE, "untouched"))
    return blocks, page * sum(bin(word).count("1") for word in resident)


class MapFile:
    """All of a file."""

    def __init__(self, path):
        with open(path, "rb") as file:
            data = file.read()
        magic, version, flags, _granule, page, _region = struct.unpack_from("<8sIIIIQ", data)
        assert (magic, version) == (b"osmemmap", 1), magic
        self.blocks, self.resident = [], 0
        at, kind = 48, 0
        while kind != END:
            kind, _, size = struct.unpack_from("<IIQ", data, at)
            payload = data[at + 16 : at + 16 + size]
            at += 16 + size
            if kind == REGION:
                blocks, resident = region_blocks(payload, page, not flags & NO_RESIDENCY)
                self.blocks += blocks
                self.resident += resident
            elif kind == MAPPING:
                address, length, _, kept = struct.unpack_from("<QQQI", payload)
                self.blocks.append(Block(address, length, "kept" if kept else "mapped"))
                self.resident += page * sum(bin(byte).count("1") for byte in payload[32:])
        assert at == len(data)

    def bytes(self, state):
        return sum(block.size for block in self.blocks if block.state == state)

    def count(self, state):
        return sum(block.state == state for block in self.blocks)

    def totals(self):
        return {
            "allocated": self.bytes("used"),
            "allocated_blocks": self.count("used"),
            "free": self.bytes("free"),
            "free_blocks": self.count("free"),
            "untouched": self.bytes("untouched"),
            "metadata": self.bytes("metadata"),
            "heap": sum(map(self.bytes, ("used", "free", "untouched", "metadata"))),
            "mapped": self.bytes("mapped"),
            "mapped_blocks": self.count("mapped"),
            "mapped_cached": self.bytes("kept"),
            "resident": self.resident,
        }
