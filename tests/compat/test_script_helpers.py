"""The functions of rerun's example scripts work as rerun's, on our recordings, and rerun stays unloaded."""

from __future__ import annotations

import argparse
from pathlib import Path

import rerun as theirs

import rerun_mp as rr
from tests.conftest import RunPython
from tests.harness.recordings import rows_of


def test_the_parser_has_reruns_options() -> None:
    parsers = [argparse.ArgumentParser(prog="x") for _ in range(2)]
    rr.script_add_args(parsers[0])
    theirs.script_add_args(parsers[1])
    assert parsers[0].format_help() == parsers[1].format_help()


def test_a_script_logs_into_the_file_that_its_option_names(run_python: RunPython, tmp_path: Path) -> None:
    path = tmp_path / "run.rrd"
    run_python(
        f"""
        import argparse, sys
        import rerun_mp as rr

        parser = argparse.ArgumentParser()
        rr.script_add_args(parser)
        args = parser.parse_args(["--save", {str(path)!r}])
        recording = rr.script_setup(args, "rerun_example_script")
        assert recording.get_recording_id() == rr.get_recording_id()
        assert rr.strict_mode()
        rr.log("number", rr.Scalars(1.0))
        rr.script_teardown(args)
        assert "rerun" not in sys.modules
        """,
        fresh=True,
    ).check()
    assert [row.entity_path for row in rows_of(path)] == ["number"]
