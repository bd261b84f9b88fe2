"""A user's program: each wrong call warns and loses its own row only. In strict mode it raises.

Usage: wrong_calls.py FILE.
"""

from __future__ import annotations

import sys
from typing import Any

import rerun_mp
from tests.harness.recordings import rows_of

rr: Any = rerun_mp  # the type checker would refuse these calls

rr.init("app")
rr.save(sys.argv[1])
rr.save(5)
rr.log("good", rr.Scalars(1.0))
rr.log("bad", object())
rr.log(5, rr.Scalars(1.0))
rr.log("good", rr.Points3D([[1, 2]]))
rr.send_columns("bad", [rr.TimeColumn("t", sequence=[1, 2])], rr.Scalars.columns(scalars=[1.0]))
rr.log("good", rr.Scalars(2.0))
for wrong in (lambda: rr.save(5), lambda: rr.log("bad", object()), lambda: rr.set_time("t", sequence=2**64)):
    rr.set_strict_mode(True)
    try:
        wrong()  # type: ignore[no-untyped-call]
    except (TypeError, ValueError, OverflowError):
        pass
    else:
        raise AssertionError("no error in strict mode")
rr.disconnect()
rows = rows_of(sys.argv[1])
assert [row.entity_path for row in rows].count("good") == 3, rows
assert not [row for row in rows if row.entity_path == "bad"]
texts = [row.components["TextLog:text"].as_py()[0] for row in rows if row.entity_path == "__warnings"]
warned = {text.partition(":")[0] for text in texts}
assert sorted(warned) == ["Position3DBatch", "log", "save", "send_columns"], warned
