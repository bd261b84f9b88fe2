"""The entries of the table of hazards, and how a guard is removed from a copy of the tree.

An entry removes a guard by replacing a text of the product by another. The text must occur exactly once, so that an
entry cannot outlive its code.
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
"""The files and folders that a test needs."""

TITLES = {
    1: "A lock held by a descriptor is lost when the program closes all descriptors; the slot gets a second owner",
    2: "A kept descriptor's number goes to a file of the user, and our bytes land in that file",
    3: "A dead producer's index is reused before its slots are drained: they seem to have a living owner for ever",
    4: "A crash between the stores of `taken` and of the sweep's number loses or splits a sweep",
    5: "Chunks of two entities, ranges or segments share one id, and readers keep only the first",
    6: "A frozen viewer makes the collector's memory grow without bound, or blocks the collector",
    7: "rerun's writer is dead after a full disk: later rows vanish, and flushes hang",
    8: "A file that is cut inside a message can be neither read nor merged",
    9: "Parts of a chain are freed before it is delivered, or never; half-made chains wait for each other's slots",
    10: "A snapshot of the control table shows a sealed slot with an earlier count",
    11: "A process joins a session that is ending, or a half-made segment",
    12: "Locks outside of the segment are separated from it when directories differ or go away",
    13: "An unlock in a child drops the lock that it inherited from its parent",
    14: "The program ends before its file is complete; the same program, run again at once, mixes two files",
    15: "The collector is a child of the program, or in its process group: `os.wait` returns it, signals kill it",
    16: "Every process keeps an open slot and no slot is free: the processes wait for each other",
    17: "A process tries to take a lease to see whether it is held, and its rightful owner fails meanwhile",
    18: "A row that crashes native code restarts the collector for ever",
    19: "The collector dies while no process checks: the parent sits in `join`, or all participants are gone",
    20: "The parent ends before a subprocess has joined, and the session ends too early",
    21: "A fork between payload and commit: the child completes the parent's append",
    22: "A signal handler or `__del__` logs while its own thread holds the mutex; a frozen daemon thread holds it",
    23: "POSIX locks do not exclude threads of one process",
    24: "Waking a dead collector through a FIFO kills the program with SIGPIPE",
    25: "Another user's segment of the same name is used; a socket's path is too long",
    26: "The paths of thousands of entities need more space than a slot has",
    27: "Every recording costs three threads and a descriptor",
    28: "A fork guard in shared memory is not wiped by a fork, or the child's own byte is not set",
    29: "The more locks a file has, the longer a lock attempt takes",
    30: "Merging the parts of a file takes more memory than the size of the file",
}
"""Hazard to its consequence."""


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
        # The last line of the text is inside the function. The first may be the end of another function.
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
    """A guard against a hazard, the edits that remove it, and the tests that then fail."""

    hazard: int
    name: str
    """Short name for the test's id."""
    guard: str
    """The guard, in one sentence."""
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]
    """Node ids of tests. Each fails without the guard."""
    fails: str
    """A text in pytest's output of the failure."""

    def places(self) -> list[str]:
        """Return the files and functions that hold the guard."""
        named = [f"{edit.file}: {edit.function()}".removesuffix(": ") for edit in self.edits]
        return list(dict.fromkeys(named))


def copy_tree(target: Path) -> Path:
    """Copy the files that a test needs to `target`, and return `target`.

    In the copy, leftovers of a failed test are removed after 3 s instead of after a minute.
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
