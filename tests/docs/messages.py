"""The templates of all error messages in the package's code; `…` stands for a value."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from rerun_mp import errors
from tests.harness.programs import ROOT

__all__ = ["messages", "normal", "texts"]

BUILTIN = {"TypeError", "ValueError", "RuntimeError", "AttributeError", "OverflowError"}
KINDS = {*errors.__all__, *BUILTIN, "BusyError", "PartRefusedError"}


def messages() -> dict[str, set[str]]:
    """Return each template with the kinds of error that have it."""
    found: dict[str, set[str]] = {}
    for path in sorted((ROOT / "rerun_mp").rglob("*.py")):
        for kind, template in _made_in(ast.parse(path.read_text())):
            found.setdefault(normal(template), set()).add(kind)
    return found


def texts() -> set[str]:
    """Return each template of a text in the package's code, whether an error has it or not."""
    trees = [ast.parse(path.read_text()) for path in sorted((ROOT / "rerun_mp").rglob("*.py"))]
    templates = [_template(node) for tree in trees for node in ast.walk(tree) if isinstance(node, ast.expr)]
    return {re.sub(r"\s+", " ", template) for template in templates if template}


def normal(template: str) -> str:
    """Return a template with one blank between words, and one ellipsis for adjacent values."""
    return re.sub(r"(?:…\W?)*…(?=…)", "", re.sub(r"\s+", " ", template)).strip()


def _made_in(tree: ast.AST) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in KINDS and node.args:
            template = _template(node.args[0])
            if template is not None and template.strip("… ."):
                yield node.func.id, template


def _template(node: ast.expr) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _template(node.left), _template(node.right)
        return None if left is None or right is None else left + right
    return None
