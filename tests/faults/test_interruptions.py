"""Whatever runs in the middle of a `log` call: each row is there once, and the program's exceptions are its own."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import pytest

from rerun_mp.errors import UnfinishedImportError
from tests.conftest import RunPython
from tests.harness.recordings import Row, rows_of

PROGRAM = Path(__file__).parent / "programs" / "interruptions.py"
AMID_IMPORTS = PROGRAM.with_name("logging_amid_imports.py")
ENTITIES = {"number": "Scalars:scalars", "text": "TextLog:text", "level": "TextLog:text"}


def play(run_python: RunPython, path: Path, scene: str, calls: int) -> tuple[dict[str, list[int]], Counter[int], str]:
    """Play a scene. Returns what the program says, how often each number is in the recording, and its errors."""
    done = run_python(PROGRAM, path, scene, str(calls), timeout=200.0).check()
    found: Counter[int] = Counter()
    for row in rows_of(path):
        component = ENTITIES.get(row.entity_path.lstrip("/"))
        if component is not None:
            (value,) = row.components[component].as_py()
            found[int(value)] += 1
    return json.loads(done.stdout), found, done.stderr


@pytest.mark.parametrize(
    ("scene", "calls"),
    [
        ("collections", 3000),
        ("traced", 4000),
        ("profiled", 8000),
        ("monitored", 2000),
        ("tracer_that_logs", 300),
        ("logging_handlers", 20000),
        ("greenlets", 300),
        ("greenlets_both_ways", 400),
        ("before_1970", 50),
    ],
)
def test_every_row_is_there_once(scene: str, calls: int, run_python: RunPython, tmp_path: Path) -> None:
    if scene.startswith("greenlets"):
        pytest.importorskip("greenlet")
    told, found, _ = play(run_python, tmp_path / "rows.rrd", scene, calls)
    assert told["raised"] == []
    assert len(told["returned"]) >= calls
    assert found == Counter(told["returned"])


@pytest.mark.parametrize(
    ("scene", "calls", "least"),
    [
        pytest.param("raising_handlers", 500, 300, id="raising_handlers-500"),
        pytest.param("raising_handlers", 5000, 3000, id="raising_handlers-5000", marks=pytest.mark.soak),
        pytest.param("exception_at_every_step", 400, 300, id="exception_at_every_step-400"),
        pytest.param("first_call_at_every_step", 150, 50, id="first_call_at_every_step-150"),
    ],
)
def test_the_programs_exceptions_are_its_own(
    scene: str, calls: int, least: int, run_python: RunPython, tmp_path: Path
) -> None:
    """Each comes out as it was raised; the row that it interrupted is there once or not at all."""
    told, found, _ = play(run_python, tmp_path / "rows.rrd", scene, calls)
    assert told["raised"] == told["sent"]
    assert len(told["sent"]) > least
    assert set(found.values()) == {1}, "a row is there twice"
    assert set(told["returned"]) <= set(found), "a row whose call returned is missing"
    assert len(found) - len(told["returned"]) <= len(told["sent"])


def test_a_trace_function_may_fork_in_the_middle_of_a_call(run_python: RunPython, tmp_path: Path) -> None:
    """Parent and child both finish the call, so its row may be there for both; no other row suffers."""
    told, found, stderr = play(run_python, tmp_path / "rows.rrd", "tracer_that_forks", 60)
    children = json.loads(stderr.splitlines()[-1])["children"]
    assert children > 20
    assert set(found) == set(told["returned"])
    assert found.total() <= len(told["returned"]) + children
    rows = [row for row in rows_of(tmp_path / "rows.rrd") if row.entity_path.lstrip("/") == "child"]
    assert len(rows) == children


@pytest.mark.parametrize(
    "scene", ["pyarrow", "rerun", "halves amid pyarrow", "halves amid rerun", "encoder", "encoder_of_rerun"]
)
def test_rows_are_safe_that_interrupt_an_import_on_which_the_encoder_depends(
    scene: str, run_python: RunPython, tmp_path: Path
) -> None:
    done = run_python(AMID_IMPORTS, tmp_path / "rows.rrd", scene, fresh=True).check()
    returned = json.loads(done.stdout)
    assert "Warning" not in done.stderr
    found = [number_of(row) for row in rows_of(tmp_path / "rows.rrd") if row.entity_path.lstrip("/") == "row"]
    assert len(returned) > 4
    assert Counter(found) == Counter(returned)


@pytest.mark.parametrize(("scene", "call", "rows"), [("columns", "send_columns", 2), ("batches", "log", 1)])
def test_rows_that_cannot_be_encoded_amid_an_import_are_counted(
    scene: str, call: str, rows: int, run_python: RunPython, tmp_path: Path
) -> None:
    """Nothing is raised into the program, which is warned once."""
    done = run_python(AMID_IMPORTS, tmp_path / "rows.rrd", scene, fresh=True).check()
    calls, refused = json.loads(done.stdout)
    assert calls > 4
    assert refused == {UnfinishedImportError.cause: rows * calls}
    assert done.stderr.count("Warning: ") == 1
    assert f"Warning: {call}: the call interrupts the import of 'pyarrow'" in done.stderr


def number_of(row: Row) -> int:
    """Return the number that a row of `logging_amid_imports.py` holds."""
    for component in ("Image:buffer", "EncodedImage:blob"):
        if component in row.components:
            return int.from_bytes(bytes(row.components[component].as_py()[0][:4]), "little")
    if "number" in row.components:
        return int(row.components["number"].as_py()[0])
    if "Tensor:data" in row.components:
        buffer = row.components["Tensor:data"].as_py()[0]["buffer"]
        return int(buffer[0]) if type(buffer[0]) is float else int.from_bytes(bytes(buffer[:4]), "little")
    return int(row.components["Points2D:positions"].as_py()[0][0])


def test_monitoring_is_tried_where_python_has_it() -> None:
    assert hasattr(sys, "monitoring") == (sys.version_info >= (3, 12))
