"""What an entry of the table of hazards is, and how a guard is taken out of a copy of the tree.

A guard is taken out by replacing a text of the product by another: the text must be there, once, so that an entry
cannot outlive the code that it speaks of.
"""

from __future__ import annotations

import ast
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.harness.programs import ROOT

__all__ = ["COPIED", "TITLES", "Edit", "Removal", "copy_tree"]

COPIED = ("rerun_mp", "tests", "pyproject.toml")
"""What a test needs of the tree."""

TITLES = {
    1: "A lock held by a descriptor is lost when the program closes all descriptors; the slot gets a second owner",
    2: "A kept descriptor's number is given to a file of the user's, and our bytes land there",
    3: "A dead producer's index is taken before its slots are drained: they seem to live for ever",
    4: "A crash between the stores of `taken` and of the sweep's number loses or splits a sweep",
    5: "Chunks of two entities, ranges or segments have one id, and readers keep only the first",
    6: "A frozen viewer takes rows without end into the collector's memory, or blocks it",
    7: "rerun's writer is dead after a full disk: later rows vanish, flushes hang",
    8: "A file cut inside a message cannot be read, or merged, at all",
    9: "Parts of a large message are freed before it is delivered, never freed, or waited for by half-made others",
    10: "A snapshot of the control table shows a sealed slot with the count of before",
    11: "A process joins a session that is ending, or a segment that is half made",
    12: "Locks in other files than the segment's are split from it when directories differ or go away",
    13: "An unlock in a child drops the lock that it inherited from its parent",
    14: "The program ends before its file is complete; the same program, run again at once, mixes two files",
    15: "The collector is the user's child, or in his process group: `os.wait` meets it, signals kill it",
    16: "Every process keeps an open slot and none is free: all wait for each other",
    17: "Asking by trying whether a lease is held makes its rightful owner fail",
    18: "A row that crashes native code restarts the collector for ever",
    19: "The collector dies while nobody looks: the parent in `join`, or everybody gone",
    20: "The parent ends before a subprocess has joined, and the session ends under it",
    21: "A fork between payload and commit: the child finishes the parent's append",
    22: "A signal handler or `__del__` logs while its own thread holds the mutex; a frozen daemon thread holds it",
    23: "POSIX locks do not exclude threads of one process",
    24: "Waking a collector that has died by a FIFO kills the program with SIGPIPE",
    25: "Another user's segment of the same name is used; a socket's path is too long",
    26: "The paths of some thousand entities need more room than a slot has",
    27: "Three threads and a descriptor for every recording",
    28: "A fork guard that is not private is not wiped, and a child's own byte is not set",
    29: "A lock attempt takes the longer the more locks the file has",
    30: "Merging the parts of a file takes more memory than the file has bytes",
}
"""Hazard to what goes wrong."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One text of the product replaced by another."""

    file: str
    """Below `rerun_mp/`."""
    old: str
    new: str

    def apply(self, root: Path) -> None:
        """Replace the text in the tree at `root`."""
        path = root / "rerun_mp" / self.file
        source = path.read_text()
        assert source.count(self.old) == 1, f"{self.file} has {source.count(self.old)} times:\n{self.old}"
        changed = source.replace(self.old, self.new)
        ast.parse(changed)
        path.write_text(changed)

    def function(self) -> str:
        """Return the name of the innermost function or class of the product around the text; "" for a module's own."""
        source = (ROOT / "rerun_mp" / self.file).read_text()
        # The last line of a text is surely in the function; its first may be the end of another.
        line = source[: source.index(self.old)].count("\n") + self.old.rstrip("\n").count("\n") + 1
        names: list[str] = []
        body: list[ast.stmt] = ast.parse(source).body
        while True:
            inner = [node for node in body if node.lineno <= line <= (node.end_lineno or 0)]
            if not inner or not isinstance(inner[0], ast.FunctionDef | ast.ClassDef):
                return ".".join(names)
            names.append(inner[0].name)
            body = inner[0].body


@dataclass(frozen=True, slots=True)
class Removal:
    """A guard against a hazard, how it is taken out, and what then fails."""

    hazard: int
    name: str
    """Short, for the test's id."""
    guard: str
    """What the guard is, one sentence."""
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]
    """Node ids; each of them fails without the guard."""
    fails: str
    """What the failure says: a text in the output of pytest."""

    def places(self) -> list[str]:
        """Return where in the product the guard is."""
        named = [f"{edit.file}: {edit.function()}".removesuffix(": ") for edit in self.edits]
        return list(dict.fromkeys(named))


def copy_tree(target: Path) -> Path:
    """Copy what a test needs of the tree to `target`, and return that.

    There, what a failed test leaves behind is removed at once: nobody waits for it to go away by itself.
    """
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, target / name)
    conftest = target / "tests" / "conftest.py"
    source_text = conftest.read_text()
    changed, count = re.subn(r"^LEFTOVER_SECS = .*$", "LEFTOVER_SECS = 3.0", source_text, flags=re.MULTILINE)
    assert count == 1
    conftest.write_text(changed)
    return target
