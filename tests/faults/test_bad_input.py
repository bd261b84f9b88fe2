"""Bad input and bad surroundings: a clear message each, nothing else lost, no hang."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.conftest import RunPython
from tests.harness.recordings import rows_of, verify
from tests.harness.sessions import SHARED_MEMORY, SessionWatch
from tests.harness.small_disks import may_unshare, on_small_disks

PROGRAMS = Path(__file__).parent / "programs"
WRONG_CALLS = {
    "an int for an archetype": ("rr.log('bad', 42)", "AsComponents"),
    "nothing for an archetype": ("rr.log('bad', None)", "AsComponents"),
    "a class for an archetype": ("rr.log('bad', rr.Scalars)", "as_component_batches"),
    "a class for an image": ("rr.log('bad', rr.Image)", "as_component_batches"),
    "a number for a recording": ("rr.log('bad', rr.Scalars(1.0), recording=5)", "RecordingStream"),
    "a string for an archetype": ("rr.log('bad', 'text')", "component"),
    "points of two coordinates": ("rr.log('bad', rr.Points3D([[1.0, 2.0]]))", "multiple of 3"),
    "text for a number": ("rr.log('bad', rr.Scalars('text'))", "could not convert"),
    "a number for a path": ("rr.log(5, rr.Scalars(1.0))", "entity_path"),
    "bytes for a path": ("rr.log(b'bad', rr.Scalars(1.0))", "entity_path"),
    "half a character in a path": ("rr.log('bad' + chr(0xD800), rr.Scalars(1.0))", "surrogates"),
    "a word for static": ("rr.log('bad', rr.Scalars(1.0), static='yes')", "static"),
    "a sequence number over 64 bits": ("rr.set_time('bad', sequence=2**63)", "64 bits"),
    "a sequence number under 64 bits": ("rr.set_time('bad', sequence=-2**63 - 1)", "64 bits"),
    "NaN for a sequence number": ("rr.set_time('bad', sequence=float('nan'))", "no integer"),
    "infinity for a sequence number": ("rr.set_time('bad', sequence=float('inf'))", "no integer"),
    "NaN for a duration": ("rr.set_time('bad', duration=float('nan'))", "NaN"),
    "NaN for a timestamp": ("rr.set_time('bad', timestamp=float('nan'))", "NaN"),
    "a timestamp in the far future": ("rr.set_time('bad', timestamp=1e300)", "seconds since"),
    "columns of two lengths": (
        "rr.send_columns('bad', [rr.TimeColumn('t', sequence=[1, 2])], rr.Scalars.columns(scalars=[1.0]))",
        "same length",
    ),
    "a number for a file": ("rr.save(5)", "PathLike"),
}
"""Source of a call, and what its message names."""


def test_a_wrong_call_warns_or_raises_and_costs_only_itself(run_python: RunPython, tmp_path: Path) -> None:
    """One warning by default, an exception in strict mode; the rows and times around it stay as they are.

    A time that is none raises in either mode, as in rerun.
    """
    path, sources = tmp_path / "out.rrd", [(call, source) for call, (source, _) in WRONG_CALLS.items()]
    messages = json.loads(run_python(PROGRAMS / "wrong_calls_one_by_one.py", path, json.dumps(sources)).check().stdout)
    for call, (source, named) in WRONG_CALLS.items():
        lax, raised, strict = messages[call]
        assert bool(raised) == source.startswith("rr.set_time"), call
        assert len(lax + raised) == 1, call
        assert named in (lax + raised)[0], call
        assert strict.startswith("raised"), call
        assert named in strict, call
    verify(path)
    good = [row for row in rows_of(path) if row.entity_path == "good"]
    assert [row.components["Scalars:scalars"].as_py() for row in good] == [[float(i)] for i in range(len(sources))]
    assert {tuple(sorted(row.times)) for row in good} == {("good", "log_time")}


UNWRITABLE = """
import sys
import rerun_mp as rr
rr.init("rerun_mp_unwritable")
rr.save(sys.argv[1])
rr.log("row", rr.Scalars(1.0))
for path in sys.argv[2:]:
    try:
        rr.save(path)
    except OSError as error:
        print(error)
    rr.log("row", rr.Scalars(2.0))
"""


def test_an_unwritable_path_is_refused_by_name_and_the_file_before_goes_on(
    run_python: RunPython, tmp_path: Path
) -> None:
    """A missing directory, a path below a file, a directory, a file system without files, a long name, a loop."""
    path, plain, loop = (tmp_path / name for name in ("out.rrd", "plain", "loop"))
    plain.touch()
    loop.symlink_to(loop)
    paths = [str(tmp_path / "missing" / "x.rrd"), str(plain / "x.rrd"), str(tmp_path), "/proc/x.rrd"]
    paths += [str(tmp_path / ("x" * 300)), str(loop)]
    messages = run_python(UNWRITABLE, path, *paths).check().stdout.splitlines()
    assert len(messages) == len(paths)
    assert all(path in message for path, message in zip(paths, messages, strict=True)), messages
    assert not any("limits" in message for message in messages), messages
    assert Counter(row.entity_path for row in rows_of(path)) == {"row": 1 + len(paths)}


LONG_PATHS = """
import multiprocessing, sys
import rerun_mp as rr

def work(number):
    rr.log("worker", rr.Scalars(1.0))

if __name__ == "__main__":
    rr.init("rerun_mp_long")
    rr.save(sys.argv[1])
    with multiprocessing.get_context("fork").Pool(2) as pool:
        pool.map(work, range(10))
"""


def test_directories_with_long_paths_cost_no_row(place: Path, run_python: RunPython, tmp_path: Path) -> None:
    """Hazard 25: sockets have paths of 107 bytes at most. There is none of ours, and our directories lie anywhere."""
    path, environment = tmp_path / "out.rrd", {}
    for name, variable in (("runtime", "XDG_RUNTIME_DIR"), ("cache", "XDG_CACHE_HOME")):
        directory = place / name / ("a-directory-of-a-long-name-" * 7)
        directory.mkdir(mode=0o700)
        environment[variable] = str(directory)
    run_python(LONG_PATHS, path, env=environment).check()
    verify(path)
    assert Counter(row.entity_path for row in rows_of(path)) == {"worker": 10}


# ---- a port that is somebody else's --------------------------------------------------------------------------------

NO_VIEWER = """
import sys
import rerun_mp as rr
from tests.harness.waits import SleepClock
path, *urls = sys.argv[1:]
rr.init("rerun_mp_port")
rr.set_sinks(rr.FileSink(path), *map(rr.GrpcSink, urls))
longest, clock = 0.0, SleepClock()
for step in range(3000):
    row = rr.Scalars(float(step))
    begin = clock.secs()
    rr.log("row", row)
    longest = max(longest, clock.secs() - begin)
print(longest)
"""


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"], ids=["mute", "HTTP 1"]
)
def test_a_port_where_no_viewer_listens_costs_neither_file_nor_program_anything(
    answer: bytes, run_python: RunPython, tmp_path: Path
) -> None:
    """Another server has the port: it takes connections, and answers nothing or in another protocol."""
    path = tmp_path / "out.rrd"
    usual = run_python(NO_VIEWER, tmp_path / "before.rrd").check()
    with other_server(answer) as port:
        done = run_python(NO_VIEWER, path, f"rerun+http://127.0.0.1:{port}/proxy").check()

    def is_as_usual() -> bool:
        # The collector has patience with viewers; the program does not wait for that.
        return done.elapsed_secs < 5.0 + 2.0 * usual.elapsed_secs

    assert float(done.stdout) < 1.0, "a call has slept so long"
    if not is_as_usual():  # the load of the machine may have changed
        usual = run_python(NO_VIEWER, tmp_path / "after.rrd").check()
        assert is_as_usual()
    verify(path)
    assert Counter(row.entity_path for row in rows_of(path)) == {"row": 3000}


@contextmanager
def other_server(answer: bytes) -> Iterator[int]:
    """Listen on a port and answer every connection in the same way; yields the port."""
    connections: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connections.append(connection)
            with suppress(ConnectionError):  # a busy machine may accept a connection that the client has given up
                connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in connections:
                connection.close()


# ---- little shared memory ------------------------------------------------------------------------------------------

needs_namespace = pytest.mark.skipif(not may_unshare(), reason="unshare -rm is forbidden to this user here")


@needs_namespace
@pytest.mark.parametrize(("size", "filled"), [("1m", ""), ("64m", ""), ("64m", "filled")])
def test_little_shared_memory_costs_no_row(size: str, filled: str, run_python: RunPython, tmp_path: Path) -> None:
    """As in containers, and with somebody else who fills it: images by larger ways, and never a SIGBUS."""
    path, program, images = tmp_path / "out.rrd", PROGRAMS / "little_memory.py", 30
    run_python(*on_small_disks({SHARED_MEMORY: size}, program, path, str(images), filled)).check()
    verify(path)
    counts = Counter(row.entity_path for row in rows_of(path))
    assert counts == {f"{kind}/{number}": images for kind in ("scalar", "image") for number in range(2)}


NO_MEMORY = """
import sys
import rerun_mp as rr
try:
    rr.init("rerun_mp_none")
except rr.SharedMemoryError as error:
    print(error)
rr.log("row", rr.Scalars(1.0))
"""


@needs_namespace
def test_no_shared_memory_at_all_is_said_and_leaves_the_program_alone(
    place: Path, run_python: RunPython, tmp_path: Path
) -> None:
    program = tmp_path / "none.py"
    program.write_text(NO_MEMORY)
    done = run_python(*on_small_disks({SHARED_MEMORY: "64k"}, program)).check()
    assert "no space for a session in /dev/shm" in done.stdout
    assert "--shm-size" in done.stdout
    assert not list(place.glob("*/rerun_mp"))


# ---- what is not ours ----------------------------------------------------------------------------------------------

SAYS_WHAT = """
import sys
import rerun_mp as rr
try:
    rr.init("rerun_mp_private")
except rr.PrivacyError as error:
    print(error)
else:
    rr.flush()
rr.log("row", rr.Scalars(1.0))
"""


@pytest.mark.parametrize("whose", ["open to all", "somebody else's"])
@pytest.mark.parametrize("which", ["runtime", "cache"])
def test_a_directory_that_is_not_private_is_not_used(
    which: str, whose: str, place: Path, run_python: RunPython
) -> None:
    """Neither for what the collector must know nor for the spool. Nothing is begun, so nothing is left."""
    directory = place / which / "rerun_mp"
    directory.mkdir(mode=0o700)
    if whose == "open to all":
        directory.chmod(0o777)
    elif os.geteuid() == 0:
        os.chown(directory, 65534, 65534)
    else:
        pytest.skip("only root can give a directory to somebody else")
    watch = SessionWatch()
    message = run_python(SAYS_WHAT, env=watch.environment).check().stdout
    assert str(directory) in message
    assert ("drwxrwxrwx" if whose == "open to all" else "owner 65534") in message
    assert not list(directory.iterdir())
    directory.rmdir()
    assert not watch.segment.exists()
    assert not watch.collectors()["guard"]


IS_REFUSED = """
import sys
import rerun_mp as rr
rr.log("before", rr.Scalars(1.0))
print("recording", rr.get_recording_id(), flush=True)
try:
    rr.init("rerun_mp_foreign")
except rr.RerunMpError as error:
    print("init", type(error).__name__, error)
rr.log("after", rr.Scalars(1.0))
"""


@pytest.mark.parametrize("whose", ["rubbish", "open to all", "somebody else's", "a directory"])
def test_a_segment_that_is_not_ours_is_not_used(whose: str, run_python: RunPython) -> None:
    """Hazard 25. A program that lies in such a session by its environment is told so, and goes on."""
    watch = SessionWatch()
    make_foreign(watch.segment, whose)
    try:
        done = run_python(IS_REFUSED, env=watch.environment).check()
    finally:
        remove(watch.segment)
    assert "recording None" in done.stdout
    expected = "SharedMemoryError" if whose == "rubbish" else "PrivacyError"
    assert f"init {expected} {watch.segment}" in done.stdout
    assert str(watch.segment) in done.stderr


def make_foreign(path: Path, whose: str) -> None:
    """Put something at a segment's name that no session of this user has put there."""
    if whose == "a directory":
        path.mkdir()
        return
    path.touch(mode=0o600)
    path.write_bytes(bytes(range(256)) * 64)
    if whose == "open to all":
        path.chmod(0o666)
    elif whose == "somebody else's":
        if os.geteuid() != 0:
            path.unlink()
            pytest.skip("only root can give a file to somebody else")
        os.chown(path, 65534, 65534)


def remove(path: Path) -> None:
    """Remove what `make_foreign` made."""
    if path.is_dir():
        path.rmdir()
    else:
        path.unlink()


RUBBISH_KEY = """
import sys
import rerun_mp as rr
rr.init("rerun_mp_rubbish")
rr.save(sys.argv[1])
rr.log("row", rr.Scalars(1.0))
"""


@pytest.mark.parametrize("text", ["", "no name", "ab" * 200, "äöü", "../run"])
def test_a_malformed_session_key_is_named_and_ignored(text: str, run_python: RunPython, tmp_path: Path) -> None:
    path = tmp_path / "out.rrd"
    done = run_python(RUBBISH_KEY, path, env={"RERUN_MP_SESSION": text}).check()
    assert "RERUN_MP_SESSION is neither a name such as robot-7 nor a session's key (64 hex digits" in done.stderr
    assert Counter(row.entity_path for row in rows_of(path)) == {"row": 1}
