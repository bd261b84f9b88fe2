"""The table of every public name of rerun, and how it is served.

python -m tests.names > NAMES.md
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator
from types import ModuleType

import rerun

import rerun_mp
from rerun_mp import fast
from rerun_mp.compat import legacy, script_helpers

__all__ = ["table"]

OWN = "ours"
FAST = "ours, in place of rerun's: made in a tenth of the time, and equal to it in every use"
BRIDGED = "rerun's code, on our recordings"
THEIRS = "rerun's own"
MODULE = "rerun's module, under both names one object"
OLD = "with `RERUN_MP_OLD_NAMES=1` ours, with a warning that names the successor; otherwise missing, as in rerun"
OLD_MODULE = "with `RERUN_MP_OLD_NAMES=1` the module that now has"

LIMITS = {
    "ChunkBatcherConfig": "rerun's own. A session that is founded with one takes its `flush_tick`, up to 1 s, as the "
    "time between two writes of rows to the file. Its sizes delay nothing: one collector writes the rows of all "
    "processes and recordings, and holds none back, because a row in the file survives a stop of the machine. So "
    "rerun's unit tests `test_flush_never` and `test_flush_custom` (test_batcher_config.py) fail: they expect rows not "
    "to be in the file yet. tests/api/test_recording.py shows that these rows survive",
    "init": "ours. A further call with the same ids yields the same recording with its sinks, because other processes "
    "log to it, and children call `init` again; `disconnect()` completes the file. The collector has the file "
    "open, not the process that calls `save`. So rerun's unit test `test_cleanup_reinit` "
    "(test_multi_stream.py) fails: it wants the file open in its own process after `save`, and closed after "
    "the second `init`",
}
"""Names that are served with a limit."""

HEAD = """# Every public name of rerun

Made by `python -m tests.names`; a test fails when it does not agree with the rerun-sdk that is installed.
"""


def table() -> str:
    """Return the tables as Markdown."""
    parts = [HEAD]
    for title, rows in (
        ("Names of the module", module_names()),
        ("Methods of `RecordingStream`", methods()),
        ("Names that rerun-sdk 0.12 to 0.22 had and has dropped since", old_names()),
    ):
        parts.append(f"\n## {title}\n\n| name | how it is served |\n| --- | --- |\n")
        parts += [f"| `{name}` | {how} |\n" for name, how in rows]
    return "".join(parts)


def module_names() -> Iterator[tuple[str, str]]:
    """Yield each public name of rerun."""
    for name in sorted(dir(rerun)):
        if not name.startswith("_"):
            yield name, _how(name)


def _how(name: str) -> str:
    if name in LIMITS:
        return LIMITS[name]
    found, theirs = getattr(rerun_mp, name), getattr(rerun, name)
    if isinstance(found, ModuleType):
        assert found is theirs, name
        return MODULE
    if found is getattr(fast, name, None):
        return FAST
    if str(getattr(found, "__module__", "")).startswith("rerun_mp"):
        return OWN
    if name in script_helpers.__all__:
        return BRIDGED
    assert found is theirs, name
    return BRIDGED if _takes_recording(theirs) else THEIRS


def _takes_recording(thing: object) -> bool:
    try:
        return not inspect.isclass(thing) and "recording" in inspect.signature(thing).parameters  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False


def methods() -> Iterator[tuple[str, str]]:
    """Yield each public method of rerun's recordings."""
    for name in sorted(dir(rerun.RecordingStream)):
        if not name.startswith("_"):
            yield name, OWN if name in vars(rerun_mp.RecordingStream) else BRIDGED


def old_names() -> Iterator[tuple[str, str]]:
    """Yield each name that rerun has dropped."""
    for name in sorted({*legacy.NAMES, *legacy.MODULES, *legacy.ADVICE, "BlueprintLike", "UUID", "datatypes"}):
        if name in legacy.ADVICE:
            yield name, f"an `AttributeError` that says: {legacy.ADVICE[name]}"
        elif name in legacy.NAMES:
            yield name, OLD
        elif name in legacy.MODULES:
            there = OLD_MODULE if name in legacy.SUCCESSORS else "the module that now has"
            yield name, f"{there} `{legacy.MODULES[name]}`"
        else:
            switched = name in legacy.SUCCESSORS
            yield name, "with `RERUN_MP_OLD_NAMES=1` the same object as before" if switched else "rerun's own"


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        print(table(), end="")
