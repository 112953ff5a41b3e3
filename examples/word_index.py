#!/usr/bin/env python3
"""Builds, queries and rewrites an index of a small library of made-up books.

A job for an allocator, of the kind that scripts have: millions of strings, tuples, lists and
dictionaries of all sizes, lists that grow, large texts that come and go, and objects of one age
that die at different times. The text is pseudo-random and the same in each run; the last line
that is printed is a checksum of all results.

Python keeps objects of up to 512 bytes in pools of its own. So that each of them is asked of the
allocator, the script starts itself again with PYTHONMALLOC=malloc, unless told --pools.
"""

import argparse
import os
import sys
import zlib

SYLLABLES = [c + v for c in "b d f g k l m n p r s t v z st tr".split() for v in "aeiou"]
BOOKS = 200
WORDS_IN_BOOK = 1800
VOCABULARY = 24000


class Random:
    """Marsaglia's xorshift of 64 bits: the same sequence in every version of Python."""

    def __init__(self, seed):
        self.state = seed

    def below(self, bound):
        """A number from 0 to bound - 1."""
        x = self.state
        x ^= (x << 13) & 0xFFFFFFFFFFFFFFFF
        x ^= x >> 7
        x ^= (x << 17) & 0xFFFFFFFFFFFFFFFF
        self.state = x
        return (x >> 11) % bound

    def skewed(self, bound):
        """The same, small numbers more often: as words are distributed in a language."""
        return self.below(self.below(self.below(bound) + 1) + 1)


class Checksum:
    def __init__(self):
        self.value = 0

    def add(self, *values):
        self.value = zlib.crc32(repr(values).encode(), self.value)


def make_vocabulary(random, size):
    words = {}
    while len(words) < size:
        word = "".join(SYLLABLES[random.below(len(SYLLABLES))] for _ in range(2 + random.below(4)))
        words[word] = None
    return list(words)


def make_book(random, vocabulary, number, length):
    words = [vocabulary[random.skewed(len(vocabulary))] for _ in range(length)]
    return {"title": " ".join(words[:4]).title(), "number": number, "text": " ".join(words)}


def index_book(index, book):
    """Adds to the postings of each word where it occurs: (book, place, its neighbours)."""
    words = book["text"].split(" ")
    for place, word in enumerate(words):
        neighbours = "-".join(words[max(0, place - 1) : place + 2])
        index.setdefault(word, []).append((book["number"], place, neighbours))


def forget_books(index, numbers):
    """Drops all postings of those books; words that occur no more leave the index."""
    for word in list(index):
        kept = [posting for posting in index[word] if posting[0] not in numbers]
        if kept:
            index[word] = kept
        else:
            del index[word]


def books_with(index, word):
    return {posting[0] for posting in index.get(word, ())}


def query(index, random, vocabulary, checksum):
    wanted = [vocabulary[random.skewed(len(vocabulary))] for _ in range(3)]
    every = set.intersection(*(books_with(index, word) for word in wanted))
    any_of = set.union(*(books_with(index, word) for word in wanted))
    checksum.add(wanted, sorted(every), len(any_of))


def count_pairs(books):
    """How often each word follows each other word, in nested dictionaries."""
    pairs = {}
    for book in books.values():
        words = book["text"].split(" ")
        for first, second in zip(words, words[1:]):
            followers = pairs.setdefault(first, {})
            followers[second] = followers.get(second, 0) + 1
    return pairs


def render(books, index):
    """A concordance of each book as one large text, which the next one replaces."""
    total = 0
    for book in books.values():
        lines = ["%s\t%d" % (word, len(index[word])) for word in book["text"].split(" ")]
        page = "\n".join(sorted(lines)).encode()
        total = zlib.crc32(page.upper(), total)
    return total


def run(scale):
    random = Random(0x05EEDBA5EBA11)
    checksum = Checksum()
    vocabulary = make_vocabulary(random, max(50, VOCABULARY * scale // 100))
    count = max(4, BOOKS * scale // 100)
    books, index = {}, {}

    for number in range(count):
        books[number] = make_book(random, vocabulary, number, WORDS_IN_BOOK)
        index_book(index, books[number])
    checksum.add(len(index), max(map(len, index.values())))

    for generation in range(2):  # a third of the books gives way to other, longer or shorter ones
        leaving = set(range(generation, count, 3))
        forget_books(index, leaving)
        for number in sorted(leaving):
            length = WORDS_IN_BOOK // 2 + random.below(WORDS_IN_BOOK)
            books[number] = make_book(random, vocabulary, number, length)
            index_book(index, books[number])
        for _ in range(count // 2):
            query(index, random, vocabulary, checksum)
        checksum.add(generation, render(books, index))

    pairs = count_pairs(books)
    checksum.add(len(pairs), max((sum(f.values()), word) for word, f in pairs.items()))
    for word in sorted(pairs)[:10]:
        checksum.add(word, sorted(pairs[word].items()))
    print("%d books, %d words, %d postings" % (count, len(index), sum(map(len, index.values()))))
    print("checksum %08x" % checksum.value)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", type=int, default=100, metavar="PERCENT", help="size of the job")
    parser.add_argument("--pools", action="store_true", help="leave Python its pools")
    options = parser.parse_args()
    if not options.pools and os.environ.get("PYTHONMALLOC") != "malloc":
        os.environ["PYTHONMALLOC"] = "malloc"
        os.execv(sys.executable, [sys.executable] + sys.argv)
    run(options.scale)


if __name__ == "__main__":
    main()
