"""A release of rerun-sdk that rerun_mp does not know: what still matches is used, and one warning names the rest."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.conftest import RunPython
from tests.harness.programs import Finished
from tests.harness.recordings import rows_of, verify

SIMULATION = Path(__file__).with_name("next_release")
OPENING = "rerun-sdk 0.42.0 is newer than this rerun_mp knows."


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Return a directory that says that rerun-sdk 0.42.0 is installed."""
    metadata = tmp_path / "next" / "rerun_sdk-0.42.0.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text("Metadata-Version: 2.1\nName: rerun-sdk\nVersion: 0.42.0\n")
    return metadata.parent.parent


def run(run_python: RunPython, directory: Path, changes: str, code: str, *args: Path) -> Finished:
    """Run a program with a release that has these changes."""
    paths = os.pathsep.join(map(str, (SIMULATION, directory)))
    return run_python(code, *args, fresh=True, env={"PYTHONPATH": paths, "NEXT_RELEASE": changes})


LOGS = """
    import os, sys
    import rerun
    import rerun_mp as rr
    rr.init("next", send_properties=False)
    rr.save(sys.argv[1])
    rr.set_log_time_enabled(False)
    loss = rr.series("loss")
    if os.fork() == 0:
        rr.log("text", rr.TextLog("hello"))
        rr.log("points", rr.Points3D([[1, 2, 3]]))
        rr.log("boxes", rr.Boxes3D(half_sizes=[[1, 2, 3]]))
        loss(0.5)
        loss(1)
        os._exit(0)
    os.wait()
"""


@pytest.mark.real_collectors
def test_archetypes_that_differ_are_reruns_own(run_python: RunPython, directory: Path, tmp_path: Path) -> None:
    path = tmp_path / "out.rrd"
    code = (
        LOGS
        + """
    for name in ("Points3D", "Scalars", "TextLog"):
        assert getattr(rr, name) is getattr(rerun, name), name
    for name in ("Boxes3D", "Transform3D", "Image"):
        assert getattr(rr, name) is not getattr(rerun, name), name
    assert not hasattr(rr, "Capsules3D")
    """
    )
    changes = "change_signature add_field rename_component drop_archetype"
    done = run(run_python, directory, changes, code, path).check()
    (line,) = (line for line in done.stderr.splitlines() if OPENING in line)
    assert "It has other archetypes Capsules3D, Points3D, Scalars, TextLog: rerun's own" in line
    assert "rerun-sdk<0.42" in line
    verify(path)
    rows = {row.entity_path: sorted(row.components) for row in rows_of(path)}
    assert rows == {
        "text": ["TextLog:message"],
        "points": ["Points3D:positions"],
        "boxes": ["Boxes3D:half_sizes"],
        "loss": ["Scalars:scalars"],
    }
    assert [row.components["Scalars:scalars"].as_py() for row in rows_of(path) if row.entity_path == "loss"] == [
        [0.5],
        [1.0],
    ]


@pytest.mark.real_collectors
def test_components_of_any_names_that_differ_are_reruns_own(
    run_python: RunPython, directory: Path, tmp_path: Path
) -> None:
    path = tmp_path / "out.rrd"
    code = """
        import sys
        import rerun
        import rerun_mp as rr
        assert (rr.AnyValues, rr.DynamicArchetype) == (rerun.AnyValues, rerun.DynamicArchetype)
        rr.init("next", send_properties=False)
        rr.save(sys.argv[1])
        rr.set_log_time_enabled(False)
        for number in range(2):
            rr.log("any", rr.AnyValues(loss=0.5))
            rr.log("dynamic", rr.DynamicArchetype("Mine", values={"loss": 0.5}))
    """
    done = run(run_python, directory, "change_any_values change_dynamic_archetype", code, path).check()
    (line,) = (line for line in done.stderr.splitlines() if OPENING in line)
    assert "It has other archetypes AnyValues, DynamicArchetype: rerun's own" in line
    verify(path)
    rows = [(row.entity_path, *row.components) for row in rows_of(path)]
    assert sorted(rows) == [("any", "AnyValues:loss")] * 2 + [("dynamic", "Mine:loss")] * 2


@pytest.mark.real_collectors
def test_a_release_that_matches_warns_of_nothing(run_python: RunPython, directory: Path, tmp_path: Path) -> None:
    path = tmp_path / "out.rrd"
    code = (
        LOGS
        + """
    for name in ("Scalars", "AnyValues", "DynamicArchetype"):
        assert getattr(rr, name) is not getattr(rerun, name), name
    assert rerun.__version__ == "0.42.0"
    from rerun.any_batch_value import ANY_VALUE_TYPE_REGISTRY
    assert not ANY_VALUE_TYPE_REGISTRY._entries, "the check has left types in rerun's registry"
    """
    )
    done = run(run_python, directory, "keep_everything", code, path).check()
    assert "rerun" not in done.stderr  # from 3.12 on, Python itself warns of the program's fork
    assert len(rows_of(path)) == 5


def test_native_functions_that_differ_or_are_gone_are_left_to_rerun(run_python: RunPython, directory: Path) -> None:
    code = """
        import rerun_mp as rr
        import rerun, rerun_bindings
        rerun_bindings.save("x", "lz4")
    """
    done = run(run_python, directory, "change_native", code).check()
    (line,) = (line for line in done.stderr.splitlines() if OPENING in line)
    assert "It has other parameters in save, set_thread_local_data_recording, or lacks them." in line
    assert done.stdout.strip() == "rerun's own"


@pytest.mark.real_collectors
def test_a_release_that_makes_other_chunks_is_an_error_of_init(run_python: RunPython, directory: Path) -> None:
    done = run(run_python, directory, "change_chunks", 'import rerun_mp as rr; rr.init("next", strict=True)')
    assert done.returncode == 1
    assert "CollectorError: the collector cannot run" in done.stderr
    assert "its chunks are others (TypeError('a batch is no chunk any more'))" in done.stderr


def test_a_known_release_is_not_examined(run_python: RunPython) -> None:
    code = """
        import sys
        import rerun_mp as rr
        import rerun
        assert "rerun_mp.fast.verification" not in sys.modules
    """
    assert not run_python(code).check().stderr
