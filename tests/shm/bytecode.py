"""Which instructions can run between two others, for guarantees about where the interpreter may be interrupted."""

from __future__ import annotations

import dis


def reachable(code: list[dis.Instruction], first: set[int], *, until: set[int]) -> set[int]:
    """Return the instructions that can be executed from `first` on, before one of `until`."""
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
