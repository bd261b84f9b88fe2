"""The part list counts the rows that each part has, also if the collector is killed while the file begins to rotate.

`make test` tries one change of files in 23, from a random first one on; `make soak` tries all.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from rerun_mp.session.rotation import closed_parts
from tests.conftest import RunPython
from tests.faults.programs.rotation_steps import CHUNKS, ENTITIES, ROWS, SET_AFTER, SWEEPS
from tests.harness.recordings import rows_of

PROGRAM = Path(__file__).parent / "programs" / "rotation_steps.py"


def test_parts_with_rules_have_the_listed_rows_after_a_kill(run_python: RunPython, tmp_path: Path) -> None:
    """Rows logged before the file was set begin its first part, and each row that the rules allow is in one part."""
    kill(run_python, tmp_path, stride=23)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_parts_with_rules_have_the_listed_rows_after_a_kill_at_any_change(
    run_python: RunPython, tmp_path: Path
) -> None:
    """As above, before each change of files."""
    kill(run_python, tmp_path, stride=1)


def kill(run_python: RunPython, tmp_path: Path, *, stride: int) -> None:
    """Run the program, and check its parts."""
    first = random.randrange(stride)
    done = run_python(PROGRAM, tmp_path, str(first), str(stride), timeout=3000.0).check()
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    assert sum(not report["died"] for report in reports) == len(SET_AFTER)
    assert len(reports) * stride > len(SET_AFTER) * 50
    logged = SWEEPS * CHUNKS * ROWS
    wrong = []
    for report in reports:
        rows: Counter[str] = Counter()
        for part in closed_parts(str(tmp_path / report["name"])):
            found = Counter(row.entity_path.strip("/") for row in rows_of(Path(part.path)))
            rows += found
            if part.rows != found.total():
                wrong.append(f"{part.path} has {found.total()} rows, and the list says {part.rows}: {report}")
        if rows["free"] != logged or rows["cut"] or rows.total() + report["held"] != len(ENTITIES) * logged:
            wrong.append(f"{dict(rows)} of {logged}: {report}")
    assert not wrong, "\n".join(wrong)
