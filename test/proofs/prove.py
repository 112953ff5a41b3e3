#!/usr/bin/env python3
"""Proves functions of C for every value of their inputs, and shows that the proofs could fail.

A file of proofs (proofs.h) includes the allocator's own headers. Clang translates it, without optimising, into LLVM's
intermediate language; this program executes that symbolically, each integer being a bit vector of Z3 that may have any
value. Paths that meet again are merged, loops are run as often as they can go round, calls are executed, those of NAME
by instead_NAME where the file has such. What is claimed on the way goes to the solver: what the proof claims, and that no access leaves its object or reads what was
never written, no shift is too far, no count of zeros is taken of 0, no signed sum overflows, no division is by zero.
Then each MUTANT of the file is applied to a copy of the header it names, and the proof that follows it must fail.

  prove.py [--root DIR] FILE.c …

The language is described in LLVM's reference manual; merging at the earliest block in reverse postorder is that of
Cadar and others' "veritesting" and of bounded model checkers such as CBMC.
"""

import argparse
import ast
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import z3

LOOP_LIMIT = 4096  # rounds after which a loop is taken as endless


class Refuted(Exception):
    """What is claimed does not hold; the text says what, and for which inputs."""


class Unreached(Exception):
    """A call that no execution makes does not return."""


# ---- types: ("int", bits), ("ptr",), ("array", count, type), ("struct", [types]) -----------------------------------


class Types:
    def __init__(self, module):
        self.named = dict(re.findall(r"^(%[-\w.]+) = type (.*)$", module, re.M))

    def parse(self, text):
        """The type that `text` begins with, and the rest."""
        text = text.strip()
        if text.startswith("["):
            count, rest = text[1:].split(" x ", 1)
            element, rest = self.parse(rest)
            kind, rest = ("array", int(count), element), rest.strip()[1:]
        elif text.startswith("{"):
            fields, rest = [], text[1:].strip()
            while not rest.startswith("}"):
                field, rest = self.parse(rest.lstrip(", "))
                fields.append(field)
                rest = rest.strip()
            kind, rest = ("struct", fields), rest[1:]
        else:
            name = re.match(r"i\d+|ptr|void|%[-\w.]+", text).group()
            rest = text[len(name):]
            if name in ("ptr", "void"):
                kind = ("ptr",)
            elif name[0] == "i":
                kind = ("int", int(name[1:]))
            else:
                kind = ("name", name)
        while rest.startswith("*"):
            kind, rest = ("ptr",), rest[1:]
        return kind, rest

    def resolve(self, kind):
        return self.parse(self.named[kind[1]])[0] if kind[0] == "name" else kind

    def size(self, kind):
        """Bytes, and alignment."""
        kind = self.resolve(kind)
        if kind[0] == "int":
            size = max(1, kind[1] // 8)
            return size, size
        if kind[0] == "ptr":
            return 8, 8
        if kind[0] == "array":
            size, alignment = self.size(kind[2])
            return kind[1] * size, alignment
        offset, most = 0, 1
        for field in kind[1]:
            size, alignment = self.size(field)
            offset = -(-offset // alignment) * alignment + size
            most = max(most, alignment)
        return -(-offset // most) * most, most

    def field(self, kind, index):
        """Offset and type of a field of a struct."""
        offset = 0
        for i, field in enumerate(kind[1]):
            size, alignment = self.size(field)
            offset = -(-offset // alignment) * alignment
            if i == index:
                return offset, field
            offset += size
        raise AssertionError("no such field")


# ---- values ---------------------------------------------------------------------------------------------------------


class Pointer:
    """An offset into an object, or NULL under a condition; with object None an address."""

    def __init__(self, target, offset, null=z3.BoolVal(False)):
        self.target, self.offset, self.null = target, offset, null

    def is_null(self):
        return self.target is None and z3.is_bv_value(self.offset) and self.offset.as_long() == 0


def number(value, bits):
    return z3.BitVecVal(value, bits)


def fold(term):
    return z3.simplify(term) if all(z3.is_bv_value(child) for child in term.children()) else term


def is_set(bit):
    """A vector of one bit as a condition."""
    if z3.is_bv_value(bit):
        return z3.BoolVal(bit.as_long() == 1)
    return bit == 1


def as_bit(condition):
    condition = z3.simplify(condition) if all(z3.is_bv_value(child) or z3.is_bool(child)
                                              for child in condition.children()) else condition
    if z3.is_true(condition) or z3.is_false(condition):
        return number(int(z3.is_true(condition)), 1)
    return z3.If(condition, number(1, 1), number(0, 1))


def choose(condition, a, b):
    if a is b:
        return a
    if isinstance(a, Pointer):
        if a.target is not b.target and a.is_null():
            return Pointer(b.target, b.offset, z3.simplify(z3.Or(condition, b.null)))
        if a.target is not b.target and b.is_null():
            return Pointer(a.target, a.offset, z3.simplify(z3.Or(z3.Not(condition), a.null)))
        if a.target is not b.target:
            raise Refuted("a pointer to one of two objects")
        return Pointer(a.target, choose(condition, a.offset, b.offset), choose(condition, a.null, b.null))
    if isinstance(a, tuple):
        return tuple(choose(condition, x, y) for x, y in zip(a, b))
    return a if a.eq(b) else z3.If(condition, a, b)


def count_zeros(word, from_top):
    """Halves the word as often as it goes; 0 counts as one less than its width."""
    total, width, bits = number(0, word.size()), word.size(), word.size()
    while width > 1:
        half = width // 2
        near = z3.Extract(width - 1, half, word) if from_top else z3.Extract(half - 1, 0, word)
        far = z3.Extract(half - 1, 0, word) if from_top else z3.Extract(width - 1, half, word)
        total = total + z3.If(near == 0, number(half, bits), number(0, bits))
        word, width = z3.If(near == 0, far, near), half
    return z3.simplify(total) if z3.is_bv_value(word) else total


ARITHMETIC = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "xor": lambda a, b: a ^ b,
    "shl": lambda a, b: a << b,
    "lshr": z3.LShR,
    "ashr": lambda a, b: a >> b,
    "udiv": z3.UDiv,
    "urem": z3.URem,
    "sdiv": lambda a, b: a / b,
}
COMPARISON = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "ult": z3.ULT,
    "ule": z3.ULE,
    "ugt": z3.UGT,
    "uge": z3.UGE,
    "slt": lambda a, b: a < b,
    "sle": lambda a, b: a <= b,
    "sgt": lambda a, b: a > b,
    "sge": lambda a, b: a >= b,
}


class Path:
    """Conditions, each with those before it: a chain, whose last knows the conjunction of all."""

    def __init__(self, before, condition):
        self.before, self.condition = before, condition
        self.depth = before.depth + 1 if before else 0
        self.all = z3.And(before.all, condition) if before and before.before else condition

    def since(self, other):
        """The conjunction of the conditions behind a path that this one begins with."""
        terms = []
        while self is not other:
            terms.append(self.condition)
            self = self.before
        return terms[0] if len(terms) == 1 else z3.And(terms[::-1])


def common(a, b):
    while a is not b:
        if a.depth > b.depth:
            a = a.before
        elif b.depth > a.depth:
            b = b.before
        else:
            a, b = a.before, b.before
    return a


class State:
    """A set of executions that are at the same place: conditions under which they are, values, memory."""

    def __init__(self, path, values, memory):
        self.path, self.values, self.memory = path, values, memory

    def under(self, condition):
        memory = {target: dict(cells) for target, cells in self.memory.items()}
        return State(Path(self.path, condition), dict(self.values), memory)

    def merged(self, other):
        path = common(self.path, other.path)
        here, there = self.path.since(path), other.path.since(path)
        values = {
            name: choose(here, value, other.values[name])
            for name, value in self.values.items() if name in other.values
        }
        memory = {}
        for target in self.memory.keys() & other.memory.keys():
            left, right = self.memory[target], other.memory[target]
            memory[target] = {
                at: (left[at][0], choose(here, left[at][1], right[at][1]))
                for at in left.keys() & right.keys()
            }
        if not there.eq(z3.Not(here)) and not here.eq(z3.Not(there)):
            path = Path(path, z3.Or(here, there))
        return State(path, values, memory)


# ---- execution ------------------------------------------------------------------------------------------------------


class Function:
    def __init__(self, types, header, body):
        text = header[header.index("(") + 1:header.rindex(")")]
        self.parameters = re.findall(r"(%[-\w.]+)(?:,|$)", text)
        self.blocks, label = {}, None
        for line in body:
            line = re.sub(r", ![\w.]+ !\d+|\s+;.*$|^;.*$", "", line).strip()
            name = re.match(r'"?([-\w.]+)"?:', line)
            if name:
                label = "%" + name.group(1)
                self.blocks[label] = []
            elif line:
                self.blocks[label].append(line)
        self.entry = next(iter(self.blocks))
        self.order = self.reverse_postorder()

    def successors(self, label):
        return re.findall(r"label (%[-\w.]+)", " ".join(self.blocks[label]))

    def reverse_postorder(self):
        """Blocks before those they lead to, but for those that lead back."""
        done, finished, stack = set(), [], [(self.entry, iter(self.successors(self.entry)))]
        done.add(self.entry)
        while stack:
            label, following = stack[-1]
            for successor in following:
                if successor not in done:
                    done.add(successor)
                    stack.append((successor, iter(self.successors(successor))))
                    break
            else:
                finished.append(label)
                stack.pop()
        return {label: i for i, label in enumerate(reversed(finished))}


class Machine:
    def __init__(self, module):
        self.types = Types(module)
        self.globals = {}
        self.functions = {}
        for match in re.finditer(r"^define .*?@([\w.]+)\((.*?)\{\n(.*?)^\}$", module, re.M | re.S):
            header = match.group().split("\n", 1)[0]
            header = header[header.index("@"):header.rindex(")") + 1]
            self.functions[match.group(1)] = Function(self.types, header, match.group(3).split("\n"))
        self.sizes = {}
        for name, kind in re.findall(r"^@([\w.]+) = .*?(?:global|constant) (.*)$", module, re.M):
            try:
                self.sizes[name] = self.types.size(self.types.parse(kind)[0])[0]
            except (AttributeError, KeyError):
                pass
        self.claims = []
        self.inputs = []
        self.solver = z3.SolverFor("QF_BV")

    def claim(self, state, condition, text):
        condition = z3.simplify(condition) if z3.is_const(condition) else condition
        if not z3.is_true(condition):
            self.claims.append((state.path.all, condition, text))

    def is_possible(self, state):
        self.solver.push()
        self.solver.add(state.path.all)
        result = self.solver.check()
        self.solver.pop()
        return result != z3.unsat

    # -- operands

    def operand(self, state, kind, text):
        text = text.strip()
        if text.startswith("%"):
            return state.values[text]
        if text.startswith("@"):
            name = text[1:]
            if name not in self.globals:
                self.globals[name] = object()
            state.memory.setdefault(self.globals[name], {})
            return Pointer(self.globals[name], number(0, 64))
        if text.startswith("getelementptr"):
            inner = text[text.index("(") + 1:text.rindex(")")]
            return self.element(state, inner)
        if text.startswith("bitcast"):
            inner_kind, rest = self.types.parse(text[text.index("(") + 1:])
            return self.operand(state, inner_kind, rest[:rest.rindex(" to ")])
        if kind[0] == "ptr":
            assert text == "null", text
            return Pointer(None, number(0, 64))
        return number({"true": 1, "false": 0}.get(text, text if text != "undef" else 0), kind[1])

    def typed(self, state, text):
        """The operand in `TYPE [attributes] VALUE`."""
        kind, rest = self.types.parse(text)
        copied = re.search(r"\bbyval\((.*?)\)", rest)
        if copied:
            pointer = self.typed(state, text.replace(copied.group(), ""))
            copy = Pointer(object(), number(0, 64))
            state.memory[copy.target] = {}
            copied = self.types.parse(copied.group(1))[0]
            self.store(state, copy, copied, self.load(state, pointer, copied))
            return copy
        rest = re.sub(r"\bsret\(.*?\)", "", rest)
        rest = re.sub(r"\b(noundef|noalias|zeroext|signext|nonnull|align \d+|immarg|inbounds)\b(?! \()", "", rest)
        return self.operand(state, kind, rest)

    @staticmethod
    def split(text):
        """Splits at the commas outside brackets."""
        parts, depth, last = [], 0, 0
        for i, char in enumerate(text):
            depth += (char in "([{<") - (char in ")]}>")
            if char == "," and depth == 0:
                parts.append(text[last:i])
                last = i + 1
        return [part.strip() for part in parts + [text[last:]] if part.strip()]

    def element(self, state, text):
        kind_text, base_text, *indices = self.split(text)
        kind = self.types.parse(kind_text)[0]
        base = self.typed(state, base_text)
        offset = base.offset
        for position, index_text in enumerate(indices):
            index = self.typed(state, index_text)
            if position == 0:
                step = self.types.size(kind)[0]
            else:
                kind = self.types.resolve(kind)
                if kind[0] == "struct":
                    skip, kind = self.types.field(kind, index.as_long())
                    offset = fold(offset + skip)
                    continue
                kind = kind[2]
                step = self.types.size(kind)[0]
            wide = fold(z3.SignExt(64 - index.size(), index)) if index.size() < 64 else index
            offset = fold(offset + fold(wide * step))
        return Pointer(base.target, offset, base.null)

    # -- memory: cells of one width each, by offset

    def candidates(self, state, pointer, width):
        if pointer.target is None or pointer.target not in state.memory:
            raise Refuted("an access by an address that is no object's")
        if not z3.is_false(pointer.null):
            self.claim(state, z3.Not(pointer.null), "no access by NULL")
        cells = state.memory[pointer.target]
        pointer.offset = z3.simplify(pointer.offset)
        if z3.is_bv_value(pointer.offset):
            at = pointer.offset.as_long()
            return cells, [at]
        return cells, sorted(at for at, cell in cells.items() if cell[0] == width)

    def load(self, state, pointer, kind):
        """A value of a type, or of a number of bits; that of a struct is a tuple."""
        kind = self.types.resolve(kind) if isinstance(kind, tuple) else ("int", kind)
        if kind[0] == "struct":
            return tuple(self.load(state, part, field) for part, field in self.parts(pointer, kind))
        width = 8 * self.types.size(kind)[0]
        cells, places = self.candidates(state, pointer, width)
        readable = [at for at in places if at in cells and cells[at][0] == width]
        if not readable:
            raise Refuted("memory is read that was never written")
        if z3.is_bv_value(pointer.offset):
            return cells[readable[0]][1]
        self.claim(state, z3.Or([pointer.offset == at for at in readable]), "what is read was written")
        value = cells[readable[-1]][1]
        for at in reversed(readable[:-1]):
            value = choose(pointer.offset == at, cells[at][1], value)
        return value

    def parts(self, pointer, kind):
        """Where the fields of a struct are, and their types."""
        for index in range(len(kind[1])):
            skip, field = self.types.field(kind, index)
            yield Pointer(pointer.target, fold(pointer.offset + skip), pointer.null), field

    def store(self, state, pointer, kind, value):
        kind = self.types.resolve(kind) if isinstance(kind, tuple) else ("int", kind)
        if kind[0] == "struct":
            for (part, field), item in zip(self.parts(pointer, kind), value):
                self.store(state, part, field, item)
            return
        width = 8 * self.types.size(kind)[0]
        cells, places = self.candidates(state, pointer, width)
        if z3.is_bv_value(pointer.offset):
            cells[places[0]] = (width, value)
            return
        self.claim(state, z3.Or([pointer.offset == at for at in places]), "what is written lies in its object")
        for at in places:
            cells[at] = (width, choose(pointer.offset == at, value, cells[at][1]))

    # -- calls

    def call(self, state, name, arguments, kind):
        if name == "any":
            self.inputs.append(z3.BitVec(f"any{len(self.inputs)}", 64))
            return self.inputs[-1]
        if name == "each":
            first, last = (argument.as_long() for argument in arguments)
            if len(self.chosen) == self.position:
                self.chosen.append([first, last])
            self.position += 1
            return number(self.chosen[self.position - 1][0], 64)
        if name == "assume":
            state.path = Path(state.path, is_set(arguments[0]))
            return None
        if name == "claim":
            self.claim(state, is_set(arguments[0]), f"claim {sum(t.startswith('claim') for _, _, t in self.claims) + 1}")
            return None
        if name.startswith(("llvm.lifetime", "llvm.dbg")):
            return None
        if name.startswith(("llvm.cttz", "llvm.ctlz")):
            self.claim(state, arguments[0] != 0, "zeros are not counted in 0")
            return count_zeros(arguments[0], name.startswith("llvm.ctlz"))
        if name.startswith("llvm.ctpop"):
            bits = arguments[0].size()
            return z3.Sum([z3.ZeroExt(bits - 1, z3.Extract(i, i, arguments[0])) for i in range(bits)])
        if name.startswith("llvm.umul.with.overflow"):
            a, b = arguments
            bits = a.size()
            product = z3.ZeroExt(bits, a) * z3.ZeroExt(bits, b)
            return z3.Extract(bits - 1, 0, product), as_bit(z3.Extract(2 * bits - 1, bits, product) != 0)
        if name.startswith("llvm.memset"):
            pointer, byte, size = arguments[:3]
            assert byte.as_long() == 0 and size.as_long() % 8 == 0
            for at in range(0, size.as_long(), 8):
                self.store(state, Pointer(pointer.target, fold(pointer.offset + at)), 64, number(0, 64))
            return None
        if name.startswith("llvm.memcpy"):
            to, source, size = arguments[:3]
            for at in range(0, size.as_long(), 8):
                value = self.load(state, Pointer(source.target, fold(source.offset + at)), 64)
                self.store(state, Pointer(to.target, fold(to.offset + at)), 64, value)
            return None
        if "instead_" + name in self.functions:
            name = "instead_" + name
        if name not in self.functions:
            self.claim(state, z3.BoolVal(False), f"{name} is not reached")
            return number(0, kind[1]) if kind[0] == "int" else Pointer(None, number(0, 64))
        values, state.values = state.values, {}
        after, result = self.run(self.functions[name], state, arguments)
        state.path, state.memory, state.values = after.path, after.memory, values
        return result

    def run(self, function, state, arguments):
        state.values = dict(zip(function.parameters, arguments))
        waiting, rounds, ended = {function.entry: state}, {}, None
        while waiting:
            label = min(waiting, key=function.order.get)
            state = waiting.pop(label)
            try:
                edges = self.block(function, label, state)
            except Unreached:
                continue
            for target, after in edges:
                if target is None:
                    ended = after if ended is None else ended.merged(after)
                    continue
                if function.order[target] <= function.order[label]:
                    rounds[target] = rounds.get(target, 0) + 1
                    if rounds[target] > LOOP_LIMIT:
                        raise Refuted("a loop does not end")
                    seldom = rounds[target] & (rounds[target] - 1)
                    if not seldom and not self.is_possible(after):
                        continue
                waiting[target] = waiting[target].merged(after) if target in waiting else after
        if ended is None:
            raise Unreached
        return ended, ended.values.get("return")

    def block(self, function, label, state):
        """Executes a block; yields where it leads and what is so there."""
        for line in function.blocks[label]:
            name, _, text = line.partition(" = ") if re.match(r"%[-\w.]+ = ", line) else (None, "", line)
            operation, _, rest = text.partition(" ")
            if operation == "ret":
                if rest != "void":
                    state.values["return"] = self.typed(state, rest)
                return [(None, state)]
            if operation == "unreachable":
                return []
            if operation == "br":
                return self.branch(function, label, state, rest)
            if operation == "switch":
                return self.switch(function, label, state, rest)
            if operation == "phi":
                state.values[name] = state.values[("phi", label, name)]
                continue
            value = self.instruction(state, operation, rest)
            if name is not None:
                state.values[name] = value
        raise AssertionError("a block without an end")

    def branch(self, function, label, state, rest):
        targets = re.findall(r"label (%[-\w.]+)", rest)
        if len(targets) == 1:
            return [self.edge(function, label, targets[0], state)]
        condition = is_set(self.typed(state, rest[:rest.index(", label")]))
        if z3.is_true(condition) or z3.is_false(condition):
            return [self.edge(function, label, targets[0 if z3.is_true(condition) else 1], state)]
        return [
            self.edge(function, label, targets[0], state.under(condition)),
            self.edge(function, label, targets[1], state.under(z3.Not(condition)))
        ]

    def switch(self, function, label, state, rest):
        head, _, cases = rest.partition("[")
        value = self.typed(state, head[:head.index(", label")])
        default = re.search(r"label (%[-\w.]+)", head).group(1)
        edges, others = [], []
        for case, target in re.findall(r"i\d+ (-?\d+), label (%[-\w.]+)", cases):
            edges.append(self.edge(function, label, target, state.under(value == int(case))))
            others.append(value != int(case))
        return edges + [self.edge(function, label, default, state.under(z3.And(others)))]

    def edge(self, function, label, target, state):
        """Where an edge leads; the target's phis are given their values here, before paths merge."""
        for line in function.blocks[target]:
            match = re.match(r"(%[-\w.]+) = phi (.*)", line)
            if not match:
                break
            kind, pairs = self.types.parse(match.group(2))
            pairs = dict((source, value) for value, source in re.findall(r"\[ (.*?), (%[-\w.]+) \]", pairs))
            state.values[("phi", target, match.group(1))] = self.operand(state, kind, pairs[label])
        return target, state

    def instruction(self, state, operation, rest):
        if operation == "alloca":
            target = object()
            state.memory[target] = {}
            return Pointer(target, number(0, 64))
        if operation == "load":
            kind_text, pointer_text = self.split(re.sub(r"^(atomic|volatile) |monotonic|acquire", "", rest))[:2]
            kind = self.types.parse(kind_text)[0]
            return self.load(state, self.typed(state, pointer_text), kind)
        if operation == "store":
            value_text, pointer_text = self.split(re.sub(r"^(atomic|volatile) |monotonic|release", "", rest))[:2]
            kind = self.types.parse(value_text)[0]
            value = self.typed(state, value_text)
            self.store(state, self.typed(state, pointer_text), kind, value)
            return None
        if operation == "getelementptr":
            return self.element(state, re.sub(r"^inbounds ", "", rest))
        if operation in ARITHMETIC:
            return self.arithmetic(state, operation, rest)
        if operation == "icmp":
            comparison, _, rest = rest.partition(" ")
            kind, rest = self.types.parse(rest)
            a, b = (self.operand(state, kind, text) for text in self.split(rest))
            if kind[0] == "ptr" and a.target is not b.target and (a.is_null() or b.is_null()):
                null = b.null if a.is_null() else a.null
                return as_bit(null if comparison == "eq" else z3.Not(null))
            if kind[0] == "ptr":
                assert a.target is b.target, "pointers into two objects are compared"
                a, b = a.offset, b.offset
            return as_bit(COMPARISON[comparison](a, b))
        if operation in ("zext", "sext", "trunc", "bitcast", "ptrtoint", "inttoptr"):
            source, _, target = rest.rpartition(" to ")
            return self.convert(operation, self.typed(state, source), self.types.parse(target)[0])
        if operation == "select":
            condition, a, b = (self.typed(state, text) for text in self.split(rest))
            return choose(is_set(condition), a, b)
        if operation == "extractvalue":
            value, index = self.split(rest)
            return self.typed(state, value)[int(index)]
        if operation == "call":
            match = re.match(r"(?:.*? )??((?:void|i\d+|%[-\w.]+|\{.*?\}|ptr)\**) @([\w.]+)\((.*)\)", rest)
            kind = self.types.parse(match.group(1))[0]
            arguments = [self.typed(state, text) for text in self.split(match.group(3))]
            return self.call(state, match.group(2), arguments, kind)
        raise AssertionError(f"unknown: {operation} {rest}")

    def arithmetic(self, state, operation, rest):
        flags = re.match(r"((?:nuw|nsw|exact) )*", rest).group()
        kind, operands = self.types.parse(rest[len(flags):])
        a, b = (self.operand(state, kind, text) for text in self.split(operands))
        bits = kind[1]
        if operation in ("shl", "lshr", "ashr"):
            self.claim(state, z3.simplify(z3.ULT(b, bits)), "no shift is too far")
        if operation in ("udiv", "urem", "sdiv"):
            self.claim(state, z3.simplify(b != 0), "no division is by zero")
        result = fold(ARITHMETIC[operation](a, b))
        if "nsw" in flags and not z3.is_bv_value(result):
            wide = ARITHMETIC[operation](z3.SignExt(bits, a), z3.SignExt(bits, b))
            self.claim(state, wide == z3.SignExt(bits, result), "no signed result overflows")
        return result

    def convert(self, operation, value, kind):
        if operation == "bitcast":
            return value
        if operation == "inttoptr":
            return Pointer(None, value)
        if operation == "ptrtoint":
            assert value.target is None, "the address of an object is nothing to count on"
            return value.offset
        bits = kind[1]
        if operation == "trunc":
            return fold(z3.Extract(bits - 1, 0, value))
        extend = z3.ZeroExt if operation == "zext" else z3.SignExt
        return fold(extend(bits - value.size(), value))

    # -- proofs

    def prove(self, name):
        """Returns how many facts were proved; raises Refuted."""
        facts, self.chosen = 0, []
        while True:
            facts += self.prove_case(name)
            while self.chosen and self.chosen[-1][0] == self.chosen[-1][1]:
                self.chosen.pop()
            if not self.chosen:
                return facts
            self.chosen[-1][0] += 1

    def prove_case(self, name):
        self.claims, self.inputs, self.position = [], [], 0
        try:
            state, _ = self.run(self.functions[name], State(Path(None, z3.BoolVal(True)), {}, {}), [])
        except Unreached:
            state = None
        if state is None or not self.is_possible(state):
            raise Refuted("what is assumed is never so")
        solver = z3.Then("simplify", "propagate-values", "bit-blast", "sat").solver()
        broken = [z3.And(path, z3.Not(condition)) for path, condition, _ in self.claims]
        solver.add(z3.Or(broken))
        if solver.check() == z3.sat:
            model = solver.model()
            fact = next(text for (_, _, text), term in zip(self.claims, broken)
                        if z3.is_true(model.eval(term, model_completion=True)))
            values = [f"{model.eval(word, model_completion=True).as_long():#x}" for word in self.inputs]
            chosen = [str(choice[0]) for choice in self.chosen]
            raise Refuted(f"{fact} does not hold for {', '.join(chosen + values)}")
        return len(self.claims)


def translate(path, roots):
    """Compiles a file of proofs; `roots` are searched for headers, the first one first."""
    command = ["clang", "-std=gnu11", "-O0", "-fno-discard-value-names", "-S", "-emit-llvm", "-o", "-"]
    command += [f"-I{root}" for root in roots] + [str(path)]
    return Machine(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def mutants(source):
    """What MUTANT says, with the name of the proof that follows."""
    pattern = r'MUTANT\(\s*((?:"(?:[^"\\]|\\.)*"\s*,?\s*)+)\)|PROOF\((\w+)\)'
    pending = []
    for strings, proof in re.findall(pattern, source):
        if strings:
            pending.append(ast.literal_eval("(" + re.sub(r'"\s+"', "", strings) + ")"))
        else:
            yield from ((proof, *mutant) for mutant in pending)
            pending = []


def refute(path, root, proof, header, old, new):
    """Whether the proof fails once the header is changed."""
    text = (root / header).read_text()
    if text.count(old) != 1:
        raise SystemExit(f"{header} has {text.count(old)} of {old!r}, which a mutant changes")
    with tempfile.TemporaryDirectory() as folder:
        changed = pathlib.Path(folder) / header
        changed.parent.mkdir(parents=True)
        changed.write_text(text.replace(old, new))
        try:
            translate(path, [folder, root]).prove("proof_" + proof)
        except Refuted as error:
            return str(error)
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path("."), help="folder of the headers")
    parser.add_argument("--only", default="", help="proofs whose names contain this")
    parser.add_argument("files", nargs="+", type=pathlib.Path)
    options = parser.parse_args()
    sys.setrecursionlimit(100000)
    failed = 0
    for path in options.files:
        source = path.read_text()
        machine = translate(path, [options.root])
        for proof in re.findall(r"^PROOF\((\w+)\)", source, re.M):
            if options.only not in proof:
                continue
            start = time.process_time()
            try:
                facts = machine.prove("proof_" + proof)
                print(f"proved   {proof}: {facts} facts, {time.process_time() - start:.2f} s", flush=True)
            except Refuted as error:
                failed += 1
                print(f"REFUTED  {proof}: {error}", flush=True)
        for proof, header, old, new in mutants(source):
            if options.only not in proof:
                continue
            start = time.process_time()
            error = refute(path, options.root, proof, header, old, new)
            failed += error is None
            verdict = "refuted " if error else "SURVIVED"
            print(f"{verdict} {proof} with {new!r} for {old!r}: {error or 'still proved'}, "
                  f"{time.process_time() - start:.2f} s", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
