"""Finds the instructions that can run between two others, to prove where the interpreter cannot be interrupted."""

from __future__ import annotations

import dis
import linecache
from collections.abc import Collection
from types import FunctionType


def reachable(code: list[dis.Instruction], first: set[int], *, until: set[int]) -> set[int]:
    """Return the instructions that can run from `first` on, before one of `until`."""
    index_of = {op.offset: i for i, op in enumerate(code)}
    found: set[int] = set()
    waiting = list(first)
    while waiting:
        i = waiting.pop()
        if i in found or i in until or i >= len(code):
            continue
        found.add(i)
        op = code[i]
        if op.opcode in dis.hasjrel or op.opcode in dis.hasjabs:
            waiting.append(index_of[op.argval])
        if op.opname not in ("JUMP_FORWARD", "JUMP_BACKWARD", "RETURN_VALUE", "RETURN_CONST", "RAISE_VARARGS"):
            waiting.append(i + 1)
    return found


def assert_stores_are_guarded(function: object, *, private: Collection[str] = ()) -> None:
    """Assert that a function checks the fork guard before each store, with no call or loop in between.

    Stores into the objects named in `private`, which are not in shared memory, do not count.
    """
    assert isinstance(function, FunctionType)
    code = list(dis.get_instructions(function))
    looks = {i for i in range(len(code)) if _is_look(code, i)}
    stores = {
        i
        for i, op in enumerate(code)
        if op.opname in ("STORE_SUBSCR", "STORE_SLICE") and _target(function, op) not in private
    }
    assert looks
    assert stores
    entered = reachable(code, {0}, until=looks)
    assert not entered & stores, "a store that no check of the guard precedes"
    for store in stores:
        for i in reachable(code, {i + 1 for i in looks}, until=looks):
            if store not in reachable(code, {i}, until=looks) or i == store:
                continue
            assert "CALL" not in code[i].opname, f"{code[i].opname} between the guard and the store"
            assert "BACKWARD" not in code[i].opname, f"{code[i].opname} between the guard and the store"


def _target(function: FunctionType, store: dis.Instruction) -> str:
    """Return the name of the object that an instruction stores into."""
    place = store.positions
    assert place is not None
    assert place.lineno is not None
    line = linecache.getline(function.__code__.co_filename, place.lineno)
    return line[place.col_offset :].partition("[")[0]


def _is_look(code: list[dis.Instruction], at: int) -> bool:
    """Recognise a subscript whose index is `armed`."""
    is_subscript = code[at].opname == "BINARY_SUBSCR" or (code[at].opname == "BINARY_OP" and code[at].argrepr == "[]")
    return is_subscript and any("armed" in str(op.argval) for op in code[max(0, at - 3) : at])
