"""`init` and `new_recording`: recording ids and seeds."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import RunPython

PROGRAMS = Path(__file__).with_name("programs")


def test_the_recording_id_is_derived_and_equal_in_every_process(run_python: RunPython) -> None:
    run_python(PROGRAMS / "recording_ids.py").check()


def test_a_recording_stream_without_an_id_is_new_each_time_and_new_recording_is_not(run_python: RunPython) -> None:
    run_python("""
        import rerun_mp as rr
        a, b = rr.RecordingStream("app"), rr.RecordingStream("app")
        assert a.get_recording_id() != b.get_recording_id()
        assert rr.new_recording("app") == rr.new_recording("app") != a
        rr.init("app")
        assert rr.new_recording("app").get_recording_id() == rr.get_recording_id()
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
