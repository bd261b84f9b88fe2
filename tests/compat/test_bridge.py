"""The bridge: code that says `import rerun` logs into the session's recordings, from any of its processes."""

from __future__ import annotations

import inspect
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from rerun_mp.compat import versions
from rerun_mp.compat.native import registry
from tests.conftest import RunPython
from tests.harness.recordings import rows_of, verify

PROGRAMS = Path(__file__).with_name("programs")

EXPECTED = {"scalar": 1, "any": 1, "static": 1, "columns": 3, "handle": 1, "timeless": 1}


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_a_library_that_knows_only_rerun_logs_into_the_session(
    method: str, run_python: RunPython, tmp_path: Path
) -> None:
    """In whichever process it runs, its rows are in the session's file, with the times that it has set."""
    path = tmp_path / "out.rrd"
    run_python(PROGRAMS / "using_a_library.py", path, method).check()
    verify(path)
    rows = rows_of(path)
    counts = Counter(row.entity_path for row in rows)
    expected = {f"{who}/{name}": number for who in ("parent", "child") for name, number in EXPECTED.items()}
    assert counts == expected | {"logs/library": 2}
    for row in rows:
        times = {name: row.times[name] for name in row.times if name not in ("log_time", "log_tick")}
        name = row.entity_path.partition("/")[2]
        if name in ("scalar", "any"):
            assert times == {"step": 7, "elapsed": 500_000_000, "stamp": 12_000_000_000}
        elif name == "handle":
            assert times == {"step": 7, "elapsed": 500_000_000}
        elif name in ("timeless", "static"):
            assert times == {}


def test_a_with_block_of_reruns_own_recording_takes_the_rows_that_rerun_logs_in_it(
    run_python: RunPython, tmp_path: Path
) -> None:
    """After the block, and in other threads, rows go to the global recording of ours again."""
    ours, theirs = tmp_path / "ours.rrd", tmp_path / "theirs.rrd"
    run_python(
        """
        import sys, threading
        import rerun
        import rerun_mp as rr
        rr.init("rerun_mp_bridge", send_properties=False)
        rr.save(sys.argv[1])
        own = rerun.RecordingStream("rerun_mp_own", send_properties=False)
        own.save(sys.argv[2])
        with own:
            for step in range(3):
                rerun.set_time("step", sequence=step)
                rerun.log("within", rerun.Scalars(step))
                thread = threading.Thread(target=rerun.log, args=("thread", rerun.Scalars(step)))
                thread.start()
                thread.join()
                with rr.RecordingStream.of_state(rr.get_global_data_recording().state):
                    rerun.log("inner", rerun.Scalars(step))
        for step in range(3):
            rerun.log("after", rerun.Scalars(step))
        """,
        ours,
        theirs,
    ).check()
    found = [Counter(row.entity_path for row in rows_of(path)) for path in (ours, theirs)]
    assert found == [{"thread": 3, "inner": 3, "after": 3}, {"within": 3}]
    assert [row.times["step"] for row in rows_of(theirs)] == [0, 1, 2]


def test_names_and_properties_are_sent_from_a_forked_child(run_python: RunPython, tmp_path: Path) -> None:
    """Name, start time and properties, through our functions and rerun's."""
    path = tmp_path / "out.rrd"
    run_python(
        """
        import os, sys
        import rerun
        import rerun_mp as rr
        rr.init("rerun_mp_bridge", send_properties=False)
        rr.save(sys.argv[1])
        if os.fork() == 0:
            rr.send_property("situation", rr.TextDocument("by us"))
            rerun.send_property("weather", rr.TextDocument("by rerun"))
            rr.send_recording_name("a name")
            rr.get_data_recording().send_recording_start_time_nanos(12345)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
        """,
        path,
    ).check()
    found = {
        (row.entity_path, name): value.as_py()
        for row in rows_of(path, properties=True)
        for name, value in row.components.items()
    }
    assert found == {
        ("__properties/situation", "TextDocument:text"): ["by us"],
        ("__properties/weather", "TextDocument:text"): ["by rerun"],
        ("__properties", "RecordingInfo:name"): ["a name"],
        ("__properties", "RecordingInfo:start_time"): [12345],
    }


def test_chunks_are_sent_into_a_recording(run_python: RunPython, tmp_path: Path) -> None:
    """One chunk, several, a lazy stream, and those of a store, static ones included; other objects are refused."""
    path, other = tmp_path / "out.rrd", tmp_path / "other.rrd"
    run_python(
        PROGRAMS / "sending_chunks.py",
        path,
        other,
    ).check()
    rows = rows_of(path)
    assert Counter(row.entity_path for row in rows) == {"chunk": 8, "stored": 1, "stored/static": 1}
    assert {row.entity_path: row.times for row in rows if "static" in row.entity_path} == {"stored/static": {}}


def test_rerun_alone_is_left_to_rerun(run_python: RunPython, tmp_path: Path) -> None:
    """Without a recording of ours, and for rerun's own recordings, rerun works as if it were alone."""
    path = tmp_path / "out.rrd"
    run_python(
        """
        import sys
        import rerun_mp as rr
        import rerun
        rerun.log("nowhere", rerun.Scalars(1.0))
        assert not rerun.is_enabled() and rerun.get_data_recording() is None
        recording = rerun.RecordingStream("app", send_properties=False)
        recording.set_sinks(rerun.FileSink(sys.argv[1]))
        recording.set_time("step", sequence=3)
        recording.log("entity", rerun.Scalars(1.0))
        rerun.log("entity", rerun.Scalars(2.0), recording=recording)
        recording.disconnect()
        """,
        path,
    ).check()
    assert [row.times["step"] for row in rows_of(path)] == [3, 3]


def test_names_and_signatures_are_those_of_this_rerun() -> None:
    """Each replaced function takes what ours takes, under the same names and in the same order.

    A release before the newest may lack a function, or its last parameters.
    """
    import rerun_bindings

    is_newest = versions.minor_release(versions.installed()) >= versions.NEWEST

    assert len(registry.replacements) > 20
    for name, ours in registry.replacements.items():
        theirs: Any = registry.originals.get(name) or getattr(rerun_bindings, name, None)
        if theirs is None and not is_newest:
            continue
        wanted, taken = (list(inspect.signature(function).parameters) for function in (theirs, ours))
        assert taken[: None if is_newest else len(wanted)] == wanted, f"{name}: rerun has {wanted}, we {taken}"


def test_a_release_that_is_too_old_is_refused_by_name(run_python: RunPython) -> None:
    """The error says what to do; otherwise rows would get lost."""
    done = run_python(
        """
        import rerun_mp.compat.versions
        rerun_mp.compat.versions.OLDEST = (0, 99)
        import rerun
        """
    )
    assert done.returncode == 1
    assert "does not work with rerun-sdk 0." in done.stderr
    assert "pip install" in done.stderr


def test_a_function_that_a_newer_release_has_changed_is_left_to_rerun(run_python: RunPython, tmp_path: Path) -> None:
    """One warning names it. Everything else is bridged as ever."""
    done = run_python(
        """
        import sys
        import rerun_bindings

        class Changed:
            __text_signature__ = "(path, compression, recording=None)"
            def __call__(self, *args, **kwargs):
                print("rerun's own")

        rerun_bindings.save = Changed()
        from rerun_mp.compat import versions
        versions.NEWEST = (0, 31)
        import rerun_mp as rr
        import rerun
        rr.init("rerun_mp_bridge")
        rr.save(sys.argv[1])
        rerun.log("entity", rerun.Scalars(1.0))
        rerun_bindings.save("x", "lz4")
        """,
        tmp_path / "out.rrd",
    )
    done.check()
    assert done.stderr.count("has other parameters in save") == 1
    assert done.stdout.strip() == "rerun's own"
    assert len(rows_of(tmp_path / "out.rrd")) == 1


def test_reruns_ways_to_start_a_viewer_start_ours(run_python: RunPython) -> None:
    """Without a display none is started, and the sinks stay, whichever object is asked; rerun's own would fail."""
    run_python(
        """
        import warnings
        import rerun
        import rerun_mp as rr
        rr.init("rerun_mp_bridge")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            rerun.spawn(port=19)
            rerun.get_global_data_recording().spawn(port=19)
            rr.get_global_data_recording().spawn(port=19)
        assert len(caught) == 3
        assert all("there is no display" in str(one.message) and one.filename == __file__ for one in caught), caught
        assert rr.get_data_recording().state.sinks == ()
        """,
        env={"DISPLAY": None, "WAYLAND_DISPLAY": None},
    ).check()


def test_a_server_of_files_finds_all_rows_in_them(run_python: RunPython, tmp_path: Path) -> None:
    """At once, even if the collector has only just started."""
    (tmp_path / "recordings").mkdir()
    run_python(
        """
        import sys
        from pathlib import Path
        import rerun_mp as rr
        from tests.harness.servers import saved_rows
        recording = rr.RecordingStream("served", recording_id="r", send_properties=False)
        recording.log("before", rr.Scalars(1.0))
        path = Path(sys.argv[1], "run.rrd")
        recording.save(path)
        recording.log("after", rr.Scalars(1.0))
        server = rr.server.Server(datasets={"dataset": path.parent})
        assert saved_rows(path) == {"before": 1, "after": 1}
        server.shutdown()
        """,
        tmp_path / "recordings",
        fresh=True,
    ).check()
