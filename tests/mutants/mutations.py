"""Changes one thing at a time in a module of `rerun_mp.shm`: omits or swaps stores, and turns comparisons round.

Mutants change each store into shared memory (omitted; two in a row swapped), each comparison, each condition, each
arithmetic operator, and each number within a function. They leave the module's constants alone: these are the ABI, and
all processes would share the change.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import NamedTuple

__all__ = ["Mutant", "mutants_of"]


class Mutant(NamedTuple):
    """One changed module."""

    name: str
    """The change, in one line."""
    source: str
    """The source of the whole module."""


OPPOSITES: dict[type[ast.AST], tuple[type[ast.AST], ...]] = {
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Lt: (ast.LtE,),
    ast.LtE: (ast.Lt,),
    ast.Gt: (ast.GtE,),
    ast.GtE: (ast.Gt,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Add,),
    ast.FloorDiv: (ast.Mult,),
    ast.Mod: (ast.Mult,),
    ast.LShift: (ast.RShift,),
    ast.RShift: (ast.LShift,),
    ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,),
    ast.And: (ast.Or,),
    ast.Or: (ast.And,),
}


def mutants_of(source: str) -> Iterator[Mutant]:
    """Yield every mutant of a module."""
    tree = ast.parse(source)
    for where, function in _functions(tree):
        for node in _nodes(function.body):
            for change, undo, what in _changes(node):
                before = _text(node)
                change()
                name = f"{where}: {what or f'{before} -> {_text(node)}'}"
                mutated = ast.unparse(tree)
                undo()
                yield Mutant(name, mutated)


def _nodes(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """Yield the nodes that are executed, without annotations."""
    # A node for the body as a whole, for the order of its statements.
    waiting: list[ast.AST] = [ast.Module(body, [])]
    while waiting:
        node = waiting.pop(0)
        yield node
        for field, value in ast.iter_fields(node):
            if field not in ("annotation", "returns"):
                waiting += [
                    child for child in (value if isinstance(value, list) else [value]) if isinstance(child, ast.AST)
                ]


def _functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            for method in node.body:
                if isinstance(method, ast.FunctionDef):
                    yield f"{node.name}.{method.name}", method


def _text(node: ast.AST) -> str:
    return ast.unparse(node).splitlines()[0]


Change = tuple[Callable[[], None], Callable[[], None], str]
"""(change the tree, change it back, description; "" if the node's text before and after describes the change)."""


def _changes(node: ast.AST) -> Iterator[Change]:
    for field in ("op", "ops"):
        operators = getattr(node, field, None)
        for at, operator in enumerate(operators if isinstance(operators, list) else [operators]):
            for other in OPPOSITES.get(type(operator), ()):
                new = [*operators[:at], other(), *operators[at + 1 :]] if isinstance(operators, list) else other()
                yield _setting(node, field, new)
    if isinstance(node, (ast.If, ast.IfExp, ast.While)) and not isinstance(node.test, ast.Compare):
        yield _setting(node, "test", ast.UnaryOp(ast.Not(), node.test))
    if isinstance(node, ast.Constant) and type(node.value) is int:
        yield _setting(node, "value", node.value + 1)
    for field in ("body", "orelse", "finalbody"):
        statements = getattr(node, field, None)
        if not isinstance(statements, list):
            continue
        for at, statement in enumerate(statements):
            if _is_store(statement) or _is_plain_call(statement) or isinstance(statement, (ast.Raise, ast.Continue)):
                yield _setting_of(statements, at, [ast.Pass()], f"without {_text(statement)}")
            if _is_store(statement) and at + 1 < len(statements) and _is_store(statements[at + 1]):
                swapped = [statements[at + 1], statement]
                yield _setting_of(statements, at, swapped, f"{_text(swapped[0])} before {_text(statement)}")


def _is_store(statement: ast.stmt) -> bool:
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    return isinstance(statement, (ast.Assign, ast.AugAssign)) and any(isinstance(t, ast.Subscript) for t in targets)


def _is_plain_call(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)


def _setting(node: ast.AST, field: str, value: object) -> Change:
    old = getattr(node, field)
    return lambda: setattr(node, field, value), lambda: setattr(node, field, old), ""


def _setting_of(statements: list[ast.stmt], at: int, new: list[ast.stmt], what: str) -> Change:
    old = statements[at : at + len(new)]

    def put(content: list[ast.stmt]) -> None:
        statements[at : at + len(new)] = content

    return lambda: put(new), lambda: put(old), what
