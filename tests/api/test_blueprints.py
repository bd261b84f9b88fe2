"""Blueprints: sent from any process, before or after rows, they reach every sink, and no row suffers."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.conftest import RunPython
from tests.harness.programs import wait_until
from tests.harness.recordings import RERUN_BINARY, rows_of, verify
from tests.harness.servers import Server
from tests.harness.viewers import free_port

PROGRAMS = Path(__file__).with_name("programs")

PROGRAM = PROGRAMS / "blueprints.py"


def shown(path: Path) -> list[tuple[str, bool]]:
    """Return the blueprints of a file in their order: the origin of their view, and whether they are made active."""
    done = subprocess.run([RERUN_BINARY, "rrd", "print", "-vvv", str(path)], capture_output=True, text=True, check=True)
    found: list[tuple[str, bool]] = []
    origin = ""
    for line in done.stdout.splitlines():
        for name in ("first", "second", "active"):
            if f"/{name}" in line or f'"{name}"' in line or f"[{name}]" in line:
                origin = name
        if line.startswith("BlueprintActivationCommand"):
            found.append((origin, "make_active: true" in line))
            origin = ""
    return found


@pytest.mark.parametrize(
    ("actions", "expected"),
    [
        ("first rows", ["first"]),
        ("rows first rows", ["first"]),
        ("rows first rows active", ["first", "active"]),
        # A merged file has only the last blueprint, which is the one that a viewer would show.
        ("rows first kill rows", ["first"]),
        ("first rows kill second rows", ["second"]),
        ("rows kill active", ["active"]),
    ],
)
def test_a_blueprint_is_in_the_file_and_every_row_too(
    actions: str, expected: list[str], run_python: RunPython, tmp_path: Path
) -> None:
    """Wherever it comes between rows, and even if the worker is killed after it."""
    path = tmp_path / "out.rrd"
    done = run_python(PROGRAM, path, actions).check()
    verify(path)
    assert len(rows_of(path)) == 100 * actions.split().count("rows"), done.stderr
    assert shown(path) == [(name, name == "active") for name in expected]


def test_a_blueprint_reaches_a_server(run_python: RunPython, tmp_path: Path) -> None:
    """In the middle of a recording."""
    server = Server(tmp_path / "served.rrd", free_port())
    try:
        server.wait_until_listening()
        run_python(PROGRAM, tmp_path / "out.rrd", "rows active rows", server.url).check()
        # The server acknowledges rows before it writes them.
        wait_until(lambda: server.rows().total() == 200, what="the rows in the server's file")
    finally:
        server.end()
    assert shown(tmp_path / "served.rrd") == [("active", True)]
