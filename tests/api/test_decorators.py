"""Decorators: recordings of functions and generators, and the wait at the end of a process."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import RunPython


def test_rows_are_stored_when_a_function_ends_by_return_or_exception(run_python: RunPython, place: Path) -> None:
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


def test_a_generator_with_a_recording_of_its_own_keeps_its_file(run_python: RunPython, place: Path) -> None:
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
