"""Makes docs/api.md and docs/abi.md from the code: `python -m tests.docs.reference` renews both pages."""

from __future__ import annotations

import importlib
import inspect
import re
from types import ModuleType
from typing import Any

import rerun_mp
from rerun_mp.shm import layout
from tests.harness.programs import ROOT

__all__ = ["abi", "api"]

MODULES = (
    "rerun_mp.figures",
    "rerun_mp.integrations.workers",
    "rerun_mp.integrations.pools",
    "rerun_mp.integrations.torch",
    "rerun_mp.integrations.launchers",
    "rerun_mp.integrations.gunicorn",
    "rerun_mp.integrations.logs",
    "rerun_mp.integrations.exceptions",
    "rerun_mp.integrations.output",
    "rerun_mp.integrations.system",
    "rerun_mp.integrations.pytest_plugin",
)
OWN = (
    *("init", "new_recording", "series", "statistics", "Settings", "Policy", "Account", "Statistics", "SinkStatus"),
    *("Rule", "load_rules"),
)
HEAD = """\
# API

This page has the names that rerun lacks, and those that do more here. All other names are rerun's, with rerun's
documentation; [NAMES.md](../NAMES.md) says how each is served. `python -m tests.docs.reference` makes this page.
"""
ABI_HEAD = """\
# The ring's ABI

This page describes the memory that the processes of a session share, byte by byte. It is no interface between
versions: magic and version in the header keep processes of different versions apart.
[ARCHITECTURE.md](../ARCHITECTURE.md) follows a row there. `python -m tests.docs.reference` makes this page from
`rerun_mp/shm/layout.py`.

"""


def api() -> str:
    """Return docs/api.md."""
    parts = [HEAD, "## rerun_mp\n"]
    parts += [_entry(f"rerun_mp.{name}", getattr(rerun_mp, name)) for name in OWN]
    errors = [name for name in rerun_mp.__all__ if name.endswith("Error")]
    parts.append("### Exceptions\n")
    parts += [f"- `rerun_mp.{name}`: {_first(getattr(rerun_mp, name))}" for name in sorted(errors)]
    parts.append("")
    for name in MODULES:
        module: ModuleType = importlib.import_module(name)
        parts.append(f"## {name}\n\n{inspect.cleandoc(module.__doc__ or '')}\n")
        for member in module.__all__:
            if not member.startswith("pytest_"):
                parts.append(_entry(f"{name}.{member}", getattr(module, member)))
    return "\n".join(parts).rstrip() + "\n"


def abi() -> str:
    """Return docs/abi.md."""
    text = inspect.cleandoc(layout.__doc__ or "").partition("\n")[2].strip()
    text = re.sub(r"(?m)^(All words|The states)", r"\n\1", text)
    blocks = [block.strip("\n") for block in text.split("::\n")]
    drawn = "\n".join(blocks)
    words = []
    for kind in (layout.Header, layout.Line, layout.ProducerWord, layout.SlotState, layout.Kind):
        rows = [(name, value) for name, value in vars(kind).items() if name.isupper() and isinstance(value, int)]
        words.append(f"## {kind.__name__}\n\n{_first(kind)}\n\n| name | number |\n|---|---|")
        words += [f"| `{name}` | {value} |" for name, value in rows]
        words.append("")
    return ABI_HEAD + "```text\n" + drawn.strip() + "\n```\n\n" + "\n".join(words).rstrip() + "\n"


def _entry(name: str, thing: Any) -> str:
    thing = getattr(thing, "__wrapped__", thing)
    if hasattr(thing, "__pytest_wrapped__"):
        thing = thing.__pytest_wrapped__.obj
    try:
        signature = str(inspect.signature(thing)) if callable(thing) else ""
    except (ValueError, TypeError):
        signature = ""
    signature = re.sub(r"<factory>|<object object at 0x\w+>", "...", signature)
    lines = inspect.cleandoc(getattr(thing, "__doc__", None) or "").splitlines()
    return f"### {name}\n\n```text\n{name.rpartition('.')[2]}{signature}\n\n" + "\n".join(lines) + "\n```\n"


def _first(thing: Any) -> str:
    return inspect.cleandoc(thing.__doc__ or "").partition("\n\n")[0].replace("\n", " ")


if __name__ == "__main__":
    (ROOT / "docs" / "api.md").write_text(api())
    (ROOT / "docs" / "abi.md").write_text(abi())
