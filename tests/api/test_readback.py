"""Sinks that the program reads itself, its standard output, servers of our own, and files that importers read."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import RunPython
from tests.harness.programs import ROOT, wait_until
from tests.harness.recordings import RERUN_BINARY, rows_of, verify
from tests.harness.servers import follower, saved_rows
from tests.harness.viewers import free_port

PROGRAMS = Path(__file__).with_name("programs")


def test_a_recording_in_memory_has_the_rows_of_children_too(run_python: RunPython, tmp_path: Path) -> None:
    """Drained rows are not returned again; later rows are."""
    done = run_python(
        PROGRAMS / "memory_recording.py",
        *(tmp_path / name for name in ("first", "second", "file.rrd")),
    )
    done.check()
    assert saved_rows(tmp_path / "first") == {"before": 1, "parent": 5, "child": 1}
    assert saved_rows(tmp_path / "second") == {"later": 1}
    assert Counter(row.entity_path for row in rows_of(tmp_path / "file.rrd")) == {"file": 1}


def test_the_reads_of_a_binary_stream_form_one_stream(run_python: RunPython, tmp_path: Path) -> None:
    """Read after read, written one behind the other, it is a recording with each row once."""
    run_python(
        """
        import sys
        import rerun_mp as rr
        recording = rr.RecordingStream("rerun_mp_stream", recording_id="r", send_properties=False)
        stream = recording.binary_stream()
        with open(sys.argv[1], "wb") as file:
            for step in range(4):
                recording.log("scalar", rr.Scalars(float(step)))
                stream.flush()
                file.write(stream.read())
                assert stream.read() is None
        """,
        tmp_path / "stream",
    ).check()
    done = subprocess.run(
        [RERUN_BINARY, "rrd", "merge", "-o", tmp_path / "whole.rrd", tmp_path / "stream"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [row.entity_path for row in rows_of(tmp_path / "whole.rrd")] == 4 * ["scalar"]


def test_a_blueprint_is_read_once(run_python: RunPython) -> None:
    """By reads and drains; another blueprint is read, too."""
    run_python(
        """
        import rerun_mp as rr
        import rerun_mp.blueprint as rrb

        def activations(content):
            at, found = 12, 0
            while at + 16 <= len(content):
                kind, length = (int.from_bytes(content[at + n : at + n + 8], "little") for n in (0, 8))
                found += kind == 3
                at += 16 + length
            return found

        recording = rr.RecordingStream("rerun_mp_stream", recording_id="r", send_properties=False)
        memory = recording.memory_recording()
        for blueprint in (rrb.Blueprint(rrb.TimeSeriesView()), rrb.Blueprint(rrb.Spatial3DView())):
            recording.send_blueprint(blueprint)
            for expected in (1, 0, 0):
                recording.log("scalar", rr.Scalars(1.0))
                recording.flush()
                content = memory.drain_as_bytes()
                assert b"scalar" in content
                assert activations(content) == expected, (activations(content), expected)
        """
    ).check()


STEPPED = Path(__file__).with_name("programs") / "stepped_callback.py"


@pytest.mark.parametrize("place", ["before", "after"])
def test_a_sink_that_is_set_while_a_callback_goes_on_to_its_next_file_stays(
    run_python: RunPython, tmp_path: Path, place: str
) -> None:
    """The callback's thread stands before or after it has set its next file."""
    run_python(STEPPED, place, tmp_path / "other.rrd").check()
    assert Counter(row.entity_path for row in rows_of(tmp_path / "other.rrd")) == {"late": 1}


def test_a_callback_gets_the_last_rows_although_its_thread_is_between_two_files(run_python: RunPython) -> None:
    run_python(STEPPED, "after").check()


def test_a_callback_gets_everything_up_to_the_programs_end(run_python: RunPython, tmp_path: Path) -> None:
    """As notebooks ask for it: from the parent and from children, each row once; with another sink it ends."""
    run_python(
        PROGRAMS / "callback_sinks.py",
        tmp_path / "stream",
        tmp_path / "other.rrd",
    ).check()
    merged = subprocess.run(
        [RERUN_BINARY, "rrd", "merge", "-o", tmp_path / "whole.rrd", tmp_path / "stream"], check=False
    )
    assert merged.returncode == 0
    found = Counter(row.entity_path for row in rows_of(tmp_path / "whole.rrd"))
    assert found == {"before": 1, "parent": 100, "child": 100}
    assert Counter(row.entity_path for row in rows_of(tmp_path / "other.rrd")) == {"late": 1}


PIPED = """
import sys
import rerun_mp as rr
rr.init("rerun_mp_stdout", send_properties=False)
rr.stdout()
for step in range(1000):
    rr.log("scalar", rr.Scalars(float(step)))
"""


def test_standard_output_is_a_complete_recording(run_python: RunPython, tmp_path: Path) -> None:
    """Redirected into a file, and through a pipe."""
    (tmp_path / "program.py").write_text(PIPED)
    run_python(
        """
        import subprocess, sys
        command = [sys.executable, sys.argv[1]]
        with open(sys.argv[2], "wb") as file:
            subprocess.run(command, stdout=file, check=True)
        with open(sys.argv[3], "wb") as file:
            piped = subprocess.Popen(command, stdout=subprocess.PIPE)
            subprocess.run(["cat"], stdin=piped.stdout, stdout=file, check=True)
            assert piped.wait() == 0
        """,
        tmp_path / "program.py",
        tmp_path / "file.rrd",
        tmp_path / "piped.rrd",
    ).check()
    for name in ("file.rrd", "piped.rrd"):
        verify(tmp_path / name)
        assert len(rows_of(tmp_path / name)) == 1000


def test_a_server_has_all_rows_for_late_viewers_and_ends_with_the_session(tmp_path: Path) -> None:
    """On the loopback interface only; it is there again when its collector has been killed."""
    port = free_port()
    program = subprocess.Popen(
        [sys.executable, PROGRAMS / "serving.py", str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert program.stdin is not None
    assert program.stdout is not None
    try:
        uri = program.stdout.readline().strip()
        assert uri == f"rerun+http://127.0.0.1:{port}/proxy"
        assert not reachable(port), "only loopback"
        with follower(uri, tmp_path / "first.rrd") as rows:
            wait_until(lambda: rows() == {"before": 1, "child": 100}, what="the served rows")
        program.stdin.write("\n")
        program.stdin.flush()
        assert program.stdout.readline() == "killed\n"

        def is_served() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        wait_until(is_served, what="the next server")
        with follower(uri, tmp_path / "second.rrd") as rows:
            wait_until(lambda: rows() == {"before": 1, "child": 100, "after": 1}, what="the served rows")
        program.stdin.close()
        assert program.wait(30.0) == 0
        wait_until(lambda: not is_served(), what="the server's end")
    finally:
        program.kill()
        program.wait()
        program.stdout.close()


def reachable(port: int) -> bool:
    """Say whether another address of this machine's leads there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.2", port)) == 0


def test_a_port_in_use_is_refused(run_python: RunPython) -> None:
    run_python(
        """
        import socket
        import rerun_mp as rr
        rr.init("rerun_mp_serving")
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            try:
                rr.serve_grpc(grpc_port=taken.getsockname()[1])
            except rr.ResourceError as error:
                assert "choose another port" in str(error), error
            else:
                raise AssertionError("another program listens there")
        assert rr.serve_grpc(grpc_port=0).startswith("rerun+http://127.0.0.1:")
        """
    ).check()


def test_files_are_read_by_reruns_importers_into_the_recording(run_python: RunPython, tmp_path: Path) -> None:
    """From a path and from contents, in a forked child, with prefix and static; an .rrd with all its rows."""
    (tmp_path / "notes.md").write_text("# Notes")
    path = tmp_path / "out.rrd"
    run_python(
        """
        import os, sys
        import rerun
        import rerun_mp as rr
        directory = sys.argv[2]
        other = rerun.RecordingStream("other", send_properties=False)
        other.save(f"{directory}/other.rrd")
        for step in range(2000):
            other.set_time("step", sequence=step)
            other.log("stored", rerun.Scalars(float(step)))
        other.disconnect()
        rr.init("rerun_mp_files")
        rr.save(sys.argv[1])
        if os.fork() == 0:
            rr.log_file_from_path(f"{directory}/notes.md", entity_path_prefix="here")
            rr.get_data_recording().log_file_from_path(f"{directory}/other.rrd")
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
        rerun.log_file_from_contents("/x/more.md", b"# More", static=True)
        """,
        path,
        tmp_path,
    ).check()
    verify(path)
    found = Counter(row.entity_path.rpartition("/")[2] for row in rows_of(path))
    assert found == {"notes.md": 1, "stored": 2000, "more.md": 1}
    (static,) = [row for row in rows_of(path) if row.entity_path.endswith("more.md")]
    assert static.times == {}
