"""Recordings: their ids, their handles, which one is active, and that their files are complete when they should be."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import RunPython


def test_the_recording_id_is_derived_and_stays_in_every_process(run_python: RunPython) -> None:
    run_python("""
        import multiprocessing, os, sys, uuid
        import rerun_mp as rr

        def report(start, queue):
            joined = rr.get_recording_id()
            rr.init("app")
            queue.put((joined, rr.get_recording_id(), rr.get_application_id()))

        if __name__ == "__main__":
            rr.init("app")
            first = rr.get_recording_id()
            assert uuid.UUID(first).version == 4
            rr.init("app")
            assert rr.get_recording_id() == first
            rr.init("another")
            assert rr.get_recording_id() != first
            rr.init("app", recording_id="mine")
            assert rr.get_recording_id() == "mine"
            rr.init("app")
            for start in ("fork", "forkserver", "spawn"):
                context = multiprocessing.get_context(start)
                queue = context.SimpleQueue()
                process = context.Process(target=report, args=(start, queue))
                process.start()
                assert queue.get() == (first, first, "app"), start
                process.join()
    """).check()


def test_recordings_without_an_id_are_new_each_time_but_for_new_recording(run_python: RunPython) -> None:
    run_python("""
        import rerun_mp as rr
        a, b = rr.RecordingStream("app"), rr.RecordingStream("app")
        assert a.get_recording_id() != b.get_recording_id()
        assert rr.new_recording("app") == rr.new_recording("app") != a
        rr.init("app")
        assert rr.new_recording("app").get_recording_id() == rr.get_recording_id()
    """).check()


def test_handles_are_copied_hashed_and_pickled(run_python: RunPython) -> None:
    run_python("""
        import copy, pickle
        import rerun_mp as rr
        recording = rr.RecordingStream("app", recording_id="r")
        same = [copy.copy(recording), copy.deepcopy(recording), pickle.loads(pickle.dumps(recording))]
        same.append(rr.RecordingStream("app", recording_id="r"))
        assert all(one == recording and hash(one) == hash(recording) for one in same)
        assert len({recording, *same, rr.RecordingStream("app", recording_id="s")}) == 2
        assert "app" in repr(recording)
    """).check()


def test_the_threads_recording_wins_over_the_global_one_and_the_given_one_over_both(run_python: RunPython) -> None:
    run_python("""
        import threading
        import rerun_mp as rr
        one, two, three = (rr.RecordingStream("app", recording_id=name) for name in ("one", "two", "three"))
        assert rr.set_global_data_recording(one) is None
        assert rr.get_recording_id() == "one"
        assert rr.set_thread_local_data_recording(two) is None
        assert rr.get_recording_id() == "two"
        assert rr.get_recording_id(three) == "three"
        seen = []
        thread = threading.Thread(target=lambda: seen.append(rr.get_recording_id()))
        thread.start(); thread.join()
        assert seen == ["one"]
        with three:
            with one:
                assert rr.get_recording_id() == "one"
            assert rr.get_recording_id() == "three"
        assert rr.get_data_recording() is two
        assert rr.set_thread_local_data_recording(None) is two
        assert rr.set_global_data_recording(None) is one
        assert not rr.is_enabled()
    """).check()


def test_a_with_block_leaves_a_complete_file_and_disconnect_does_too(run_python: RunPython, place: Path) -> None:
    run_python(
        """
        import sys
        import rerun_mp as rr
        from tests.harness.recordings import rows_of, verify
        first, second = sys.argv[1:]
        with rr.RecordingStream("app") as recording:
            recording.save(first)
            recording.set_time("frame", sequence=1)
            rr.log("in/block", rr.Scalars(1.0))
        verify(first)
        (row,) = rows_of(first)
        assert row.times["frame"] == 1
        rr.init("another")
        rr.save(second)
        rr.log("before", rr.Scalars(1.0))
        rr.disconnect()
        verify(second)
        assert [row.entity_path for row in rows_of(second)] == ["before"]
        """,
        place / "first.rrd",
        place / "second.rrd",
    ).check()


def test_the_start_time_is_a_property_once_and_only_if_asked(run_python: RunPython, place: Path) -> None:
    run_python(
        """
        import os, sys
        import rerun_mp as rr
        from tests.harness.recordings import rows_of
        def properties(path, **options):
            with rr.RecordingStream("app", **options) as recording:
                recording.save(path)
                recording.log("x", rr.Scalars(1.0))
                if os.fork() == 0:
                    rr.RecordingStream("app", recording_id=recording.get_recording_id())
                    os._exit(0)
                os.wait()
            rows = rows_of(path, properties=True)
            return [row for row in rows if row.entity_path.startswith("__properties")]
        (row,) = properties(sys.argv[1])
        assert list(row.components) == ["RecordingInfo:start_time"] and not row.times
        assert properties(sys.argv[2], send_properties=False) == []
        """,
        place / "with.rrd",
        place / "without.rrd",
    ).check()


@pytest.mark.parametrize(("variable", "argument", "expected"), [("off", True, False), ("on", False, True)])
def test_the_environment_decides_whether_a_recording_is_enabled(
    run_python: RunPython, place: Path, variable: str, argument: bool, expected: bool
) -> None:
    program = """
        import os, sys
        import rerun_mp as rr
        rr.init("app", default_enabled=sys.argv[2] == "True")
        expected = sys.argv[3] == "True"
        assert rr.is_enabled() is expected
        assert ("RERUN_MP_SESSION" in os.environ) is expected
        assert (rr.get_recording_id() is not None) is expected
        rr.save(sys.argv[1])
        rr.log("x", rr.Scalars(1.0))
        rr.disconnect()
        assert os.path.exists(sys.argv[1]) is expected
    """
    run_python(program, place / "run.rrd", str(argument), str(expected), env={"RERUN": variable}).check()


def test_wrong_input_costs_only_itself(run_python: RunPython, place: Path) -> None:
    finished = run_python(
        """
        import sys
        import rerun_mp as rr
        from tests.harness.recordings import rows_of
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
                wrong()
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
        """,
        place / "run.rrd",
    ).check()
    for call in ("save", "log", "send_columns"):
        assert f"RerunWarning: {call}: " in finished.stderr


def test_an_unwritable_path_raises_and_the_sinks_stay(run_python: RunPython, place: Path) -> None:
    run_python(
        """
        import os, sys
        import rerun_mp as rr
        from tests.harness.recordings import rows_of
        rr.init("app")
        rr.save(sys.argv[1])
        try:
            rr.save(os.path.join(sys.argv[1] + ".missing", "run.rrd"))
        except OSError as error:
            assert "missing" in str(error)
        else:
            raise AssertionError
        rr.log("x", rr.Scalars(1.0))
        rr.disconnect()
        assert len(rows_of(sys.argv[1])) == 1
        """,
        place / "run.rrd",
    ).check()


def test_rows_are_handed_over_when_a_function_ends_however_it_ends(run_python: RunPython, place: Path) -> None:
    run_python(
        """
        import os, sys
        import rerun_mp as rr
        from rerun_mp.session import current

        @rr.shutdown_at_exit
        def work(fail):
            rr.log("x", rr.Scalars(1.0))
            if fail:
                raise ZeroDivisionError
            return 5

        rr.init("app")
        rr.save(sys.argv[1])
        for fail in (False, True):
            if os.fork() == 0:
                try:
                    ok = work(fail) == 5
                except ZeroDivisionError:
                    ok = fail
                joined = current.session()
                # What is stored may not have been freed yet, and then is still listed.
                is_stored = all(joined.is_stored(*slot) for slot in joined._producer.pending())
                os._exit(0 if ok and is_stored else 1)
            assert os.wait()[1] == 0
        """,
        place / "run.rrd",
    ).check()


def test_generators_keep_their_recording_to_themselves(run_python: RunPython, place: Path) -> None:
    run_python(
        """
        import sys
        import rerun_mp as rr
        from tests.harness.recordings import rows_of

        @rr.recording_stream_generator_ctx
        def steps():
            with rr.RecordingStream("generator"):
                rr.save(sys.argv[1])
                for step in range(3):
                    rr.log("step", rr.Scalars(step))
                    yield rr.get_application_id()

        @rr.thread_local_stream("job")
        def job():
            got = yield rr.get_application_id()
            yield got
            return 7

        @rr.thread_local_stream("plain")
        def plain():
            return rr.get_application_id()

        rr.init("main")
        for inside in steps():
            assert inside == "generator"
            assert rr.get_application_id() == "main"
        assert len(rows_of(sys.argv[1])) == 3
        generator = job()
        assert next(generator) == "job" and rr.get_application_id() == "main"
        assert generator.send("sent") == "sent"
        assert plain() == "plain" and rr.get_application_id() == "main"
        left_early = steps()
        next(left_early)
        left_early.close()
        assert rr.get_application_id() == "main"
        """,
        place / "run.rrd",
    ).check()


def test_a_generator_with_a_stream_of_its_own_keeps_its_file_over_its_steps(run_python: RunPython, place: Path) -> None:
    """Up to its end, or until it is left; what it logs while it is closed counts too."""
    run_python(
        """
        import sys
        import rerun_mp as rr

        @rr.thread_local_stream("job")
        def job(path):
            rr.save(path)
            try:
                for step in range(3):
                    rr.log("step", rr.Scalars(step))
                    yield step
            finally:
                rr.log("step", rr.Scalars(7))

        list(job(sys.argv[1]))
        left_early = job(sys.argv[2])
        next(left_early), next(left_early)
        left_early.close()
        assert rr.get_data_recording() is None
        from tests.harness.recordings import rows_of, verify
        for path, rows in zip(sys.argv[1:], (4, 3)):
            verify(path)
            assert len(rows_of(path)) == rows, path
        """,
        place / "ended.rrd",
        place / "left.rrd",
    ).check()


def test_without_a_display_spawn_says_what_to_do_and_changes_nothing(run_python: RunPython, place: Path) -> None:
    finished = run_python(
        """
        import sys
        import rerun_mp as rr
        from tests.harness.recordings import rows_of
        rr.init("app")
        rr.save(sys.argv[1])
        rr.spawn(port=19)
        rr.log("x", rr.Scalars(1.0))
        rr.disconnect()
        assert "x" in [row.entity_path for row in rows_of(sys.argv[1])]
        """,
        place / "run.rrd",
        env={"DISPLAY": None, "WAYLAND_DISPLAY": None},
    ).check()
    assert "headless=True" in finished.stderr


def test_flush_takes_no_nonsense(run_python: RunPython) -> None:
    run_python("""
        import rerun_mp as rr
        rr.init("app")
        rr.log("x", rr.Scalars(1.0))
        rr.flush(timeout_sec=0)
        rr.get_data_recording().flush(timeout_sec=30)
        for wrong, error in ((-1, ValueError), (float("nan"), ValueError), ("5", TypeError)):
            try:
                rr.flush(timeout_sec=wrong)
            except error:
                continue
            raise AssertionError(wrong)
    """).check()


def test_examples_are_seeded_as_in_rerun(run_python: RunPython) -> None:
    program = """
        import random, sys
        import numpy as np
        rr = __import__(sys.argv[1])
        rr.init("rerun_example_x")
        print(random.random(), np.random.rand())
    """
    assert run_python(program, "rerun_mp").check().stdout == run_python(program, "rerun").check().stdout


def test_bad_ids_are_refused(run_python: RunPython) -> None:
    run_python("""
        import os
        import rerun_mp as rr
        for wrong, error in ((("",), ValueError), ((5,), TypeError), (("a" * 70_000,), ValueError)):
            for begin in (rr.init, rr.RecordingStream, rr.new_recording):
                try:
                    begin(*wrong)
                except error:
                    continue
                raise AssertionError((begin, wrong))
        assert "RERUN_MP_SESSION" not in os.environ
    """).check()


@pytest.mark.parametrize(
    "call",
    [
        "rr.set_global_data_recording(5)",
        "rr.set_thread_local_data_recording('recording')",
        "rr.set_time('t', sequence=1, recording=5)",
        "rr.save('run.rrd', recording=5)",
    ],
)
def test_what_is_no_recording_is_refused_and_the_recording_stays(run_python: RunPython, call: str) -> None:
    run_python(
        """
        import sys
        import rerun_mp as rr
        rr.init("rerun_mp_kinds")
        before = rr.get_recording_id()
        try:
            eval(sys.argv[1])
        except TypeError as error:
            assert "RecordingStream" in str(error), error
        else:
            raise AssertionError("accepted")
        assert rr.get_recording_id() == before
        """,
        call,
    ).check()
