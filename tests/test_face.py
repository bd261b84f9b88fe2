"""A program changes one import line: it finds our names and all of rerun's, and rerun is loaded only when needed."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from pathlib import Path

import pytest
import rerun as theirs

import rerun_mp as rr
from tests.conftest import RunPython
from tests.harness.programs import ROOT

HEAVY = ("rerun", "rerun_bindings", "numpy", "pyarrow", "psutil", "asyncio", "multiprocessing", "logging", "uuid")


def test_importing_loads_nothing_heavy(run_python: RunPython) -> None:
    program = f"""
        import sys
        import rerun_mp
        print([name for name in {HEAVY!r} if name in sys.modules])
    """
    assert run_python(program, fresh=True).check().stdout.strip() == "[]"


COUNTED = """
import sys
calls = 0
before = len(sys.modules)
def count(frame, event, argument):
    global calls
    calls += event == "call"
sys.setprofile(count)
__import__(sys.argv[1])
sys.setprofile(None)
print(calls, len(sys.modules) - before)
"""


def test_importing_takes_a_small_part_of_what_importing_rerun_takes(run_python: RunPython) -> None:
    """Counted in calls of functions, and in modules: figures that no load of the machine changes."""
    ours, theirs = (
        [int(count) for count in run_python(COUNTED, name, fresh=True).check().stdout.split()]
        for name in ("rerun_mp", "rerun")
    )
    assert ours[0] < 0.3 * theirs[0]
    assert ours[1] < 0.3 * theirs[1]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # some names only warn that they are old
def test_every_public_name_of_rerun_is_there() -> None:
    names = [name for name in dir(theirs) if not name.startswith("_")]
    assert [name for name in names if not hasattr(rr, name)] == []
    assert set(names) <= set(dir(rr))


def test_only_public_names_are_listed() -> None:
    assert set(dir(rr)) == {*rr.__all__, *(name for name in dir(theirs) if not name.startswith("_"))}


GONE_MODULES = {"color_conversion", "dataframe", "html_shared", "legacy_notebook", "logging_handler", "memory"}
GONE_MODULES |= {"recording", "remote", "script_helpers"}


def test_none_of_our_modules_hides_one_of_rerun() -> None:
    """Neither a present one nor a dropped one."""
    public = {entry.name for entry in pkgutil.iter_modules(theirs.__path__) if not entry.name.startswith("_")}
    own = {entry.name for entry in pkgutil.iter_modules(rr.__path__)}
    assert own & (public | GONE_MODULES) == set()


def test_all_other_names_are_reruns_own_objects() -> None:
    for name in (
        "ViewCoordinates",
        "components",
        "archetypes",
        "ComponentColumn",
        "experimental",
        "__version__",
    ):
        assert getattr(rr, name) is getattr(theirs, name)


def test_all_is_sorted_and_true() -> None:
    assert rr.__all__ == sorted(rr.__all__)
    assert all(hasattr(rr, name) for name in rr.__all__)


def test_an_unknown_name_is_refused_under_our_name() -> None:
    with pytest.raises(AttributeError, match=r"rerun_mp.*'Ponits3D'"):
        _ = rr.Ponits3D  # type: ignore[attr-defined]
    with pytest.raises(ImportError, match="rerun_mp"):
        importlib.import_module("rerun_mp.no_such_module")


def test_reruns_modules_are_imported_under_our_name_and_stay_whole(run_python: RunPython) -> None:
    program = """
        import rerun_mp.blueprint as rrb
        import rerun_mp.blueprint.archetypes
        import rerun_mp.components.position3d
        from rerun_mp.experimental import ViewerClient
        import rerun, rerun.blueprint.archetypes, importlib, sys
        assert rrb is rerun.blueprint
        assert rrb.__spec__.name == rrb.__name__ == "rerun.blueprint", rrb.__spec__
        assert rerun_mp.blueprint.archetypes is rerun.blueprint.archetypes
        assert sys.modules["rerun_mp.blueprint.archetypes"] is sys.modules["rerun.blueprint.archetypes"]
        assert rerun_mp.components.position3d.Position3D is rerun.components.Position3D
        assert importlib.reload(rrb) is rrb
    """
    run_python(program).check()


def test_our_own_modules_are_not_taken_for_reruns() -> None:
    import rerun_mp.api.recording
    import rerun_mp.figures

    assert sys.modules["rerun_mp.figures"].__spec__.name == "rerun_mp.figures"  # type: ignore[union-attr]
    assert rerun_mp.api.recording.RecordingStream is rr.RecordingStream


def test_strictness_set_before_rerun_is_loaded_holds_in_rerun(run_python: RunPython) -> None:
    program = """
        import sys
        import rerun_mp as rr
        rr.set_strict_mode(True)
        assert "rerun" not in sys.modules
        from rerun.error_utils import strict_mode, set_strict_mode
        assert strict_mode()
        set_strict_mode(False)
        assert not rr.strict_mode()
    """
    run_python(program).check()


def test_strictness_of_a_rerun_that_is_loaded_already_is_kept(run_python: RunPython) -> None:
    program = """
        import rerun
        rerun.set_strict_mode(True)
        import rerun_mp as rr
        assert rr.strict_mode()
    """
    run_python(program).check()


@pytest.mark.parametrize(("text", "expected"), [("1", "True"), ("off", "False"), ("YES", "True")])
def test_the_environment_sets_strictness(run_python: RunPython, text: str, expected: str) -> None:
    program = "import rerun_mp as rr; print(rr.strict_mode())"
    assert run_python(program, env={"RERUN_STRICT": text}).check().stdout.strip() == expected


def test_reruns_own_recordings_are_left_to_rerun(run_python: RunPython, place: Path) -> None:
    program = """
        import sys
        import rerun
        import rerun_mp as rr
        recording = rerun.RecordingStream("app", send_properties=False)
        rr.save(sys.argv[1], recording=recording)
        rr.set_time("frame", sequence=3, recording=recording)
        rr.log("entity", rr.Scalars(1.0), recording=recording)
        assert rr.get_application_id(recording) == "app"
        rr.disconnect(recording)
        from tests.harness.recordings import rows_of
        (row,) = rows_of(sys.argv[1])
        assert row.times["frame"] == 3, row
    """
    run_python(program, place / "theirs.rrd").check()


def test_without_a_session_calls_do_nothing(run_python: RunPython, place: Path) -> None:
    program = """
        import os, sys
        import rerun_mp as rr
        rr.log("entity", rr.TextLog("nowhere"))
        rr.set_time("t", sequence=1)
        rr.send_columns("entity", [], [])
        rr.disconnect()
        rr.flush()
        rr.save(sys.argv[1])
        assert not rr.is_enabled()
        assert rr.get_recording_id() is rr.get_application_id() is rr.get_data_recording() is None
        assert not os.path.exists(sys.argv[1])
        assert "RERUN_MP_SESSION" not in os.environ
    """
    finished = run_python(program, place / "nowhere.rrd").check()
    assert "Rerun is disabled - save() call ignored" in finished.stderr


def test_version_names_both_packages() -> None:
    assert "rerun_mp 0." in rr.version()
    assert f"rerun-sdk {theirs.__version__}" in rr.version()


TABLE = """
import warnings
warnings.simplefilter("ignore")
from tests.names import table
print(table(), end="")
"""


def test_the_table_of_names_is_up_to_date(run_python: RunPython) -> None:
    """`python -m tests.names > NAMES.md` makes it. In a process of its own, where nothing has loaded more of rerun."""
    assert (ROOT / "NAMES.md").read_text(encoding="utf-8") == run_python(TABLE).check().stdout
