"""A subinterpreter logs: `subinterpreter.py FILE outer|inner`, which says who calls `init`, and how many rows."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

ROWS = 50
INNER = """
import rerun_mp as rr
{begin}
for step in range({rows}):
    rr.log("inner", rr.Scalars(float(step)))
"""


def main(path: Path, founder: str) -> None:
    """Let a subinterpreter log between two rows of the program."""
    begin = f"rr.init('rerun_mp_inner'); rr.save({str(path)!r})"
    if founder == "outer":
        import rerun_mp as rr

        rr.init("rerun_mp_inner")
        rr.save(path)
        rr.log("outer", rr.Scalars(1.0))
        begin = ""
    if sys.version_info >= (3, 13):
        interpreters = importlib.import_module("_interpreters")
        inner = interpreters.create("legacy")
    else:
        interpreters = importlib.import_module("_xxsubinterpreters")
        inner = interpreters.create(isolated=False)
    failure = interpreters.run_string(inner, INNER.format(begin=begin, rows=ROWS))
    assert failure is None, failure
    interpreters.destroy(inner)
    if founder == "outer":
        rr.log("outer", rr.Scalars(2.0))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
