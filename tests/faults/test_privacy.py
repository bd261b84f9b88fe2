"""Another user of the machine can neither read nor change nor disturb a session, nor plant files that it would use.

A real process of another user tries each attack, so most tests here need root. The others run for any user.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.conftest import RunPython, StartPython
from tests.harness.programs import Program
from tests.harness.recordings import rows_of
from tests.harness.sessions import SessionWatch

pytestmark = pytest.mark.real_collectors

STRANGER = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")

SESSION = """
import os, sys, time
import rerun_mp as rr
from rerun_mp.session import current
if len(sys.argv) > 3:
    os.umask(int(sys.argv[3], 8))
rr.init("rerun_mp_private")
rr.log("secret", rr.TextLog("secret text"))
rr.flush()
segment = current.session().segment
print(segment.path)
print(segment.runtime_directory)
print(segment.spool_directory)
print("/dev/shm/sem.rmp-" + segment.nonce.hex()[:16])
print("ready", flush=True)
while not os.path.exists(sys.argv[2]):
    time.sleep(0.01)
rr.save(sys.argv[1])
"""


class Victim:
    """A live session, and all its files and directories."""

    def __init__(self, program: Program, watch: SessionWatch, out: Path, end: Path) -> None:
        self._program = program
        self.watch = watch
        self.out = out
        self._end = end
        program.wait_for_output("ready")
        self.segment, self.runtime, self.spool, self.semaphore = map(Path, program.stdout.split("\n")[:4])

    def everything(self) -> list[Path]:
        """Return every file and directory of the session, and the bases above them."""
        found = [self.segment, self.semaphore]
        for directory in (self.runtime, self.spool):
            found += [directory.parent, directory, *directory.rglob("*")]
        return found

    def finish(self) -> None:
        """Let the program save its rows and end, and check that the file has them."""
        self._end.touch()
        self._program.wait().check()
        assert Counter(row.entity_path for row in rows_of(self.out)) == {"secret": 1}


@pytest.fixture
def victim(start_python: StartPython, tmp_path: Path) -> Callable[..., Victim]:
    """Start a session, as `victim(umask="022")`."""

    def start(umask: str = "022") -> Victim:
        out, end, watch = tmp_path / "out.rrd", tmp_path / "end", SessionWatch()
        return Victim(start_python(SESSION, out, end, umask, env=watch.environment), watch, out, end)

    return start


DROP_RIGHTS = """
import __future__, ctypes, json, os, socket, sys
os.setgroups([])
os.setresgid(*[int(sys.argv[1])] * 3)
os.setresuid(*[int(sys.argv[1])] * 3)
source = sys.argv[2]
sys.argv[:] = sys.argv[2:]
exec(source)
"""
"""Starts as root, and imports all that `source` needs: only root may be able to read the interpreter's directory."""


def as_stranger(source: str, *args: str | Path) -> list[object]:
    """Run source as another user, without root's rights, and return the JSON list that it prints."""
    command = [sys.executable, "-c", DROP_RIGHTS, str(STRANGER), source, *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


# ---- the files of a session ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("umask", ["000", "077"])
def test_no_file_of_a_session_is_open_to_others(umask: str, victim: Callable[..., Victim]) -> None:
    """Directories have mode 0700, files in shared memory 0600, with any umask of the program."""
    session = victim(umask)
    with session.watch.stopped():  # it replaces files by others
        for path in session.everything():
            found = path.lstat()
            assert found.st_uid == os.geteuid(), path
            assert not stat.S_ISLNK(found.st_mode), path
            if path.is_dir():
                assert stat.S_IMODE(found.st_mode) == 0o700, path
            elif path.parent == Path("/dev/shm"):
                assert stat.S_IMODE(found.st_mode) == 0o600, path
    session.finish()


ATTACK = Path(__file__).with_name("programs") / "attack.py"


@needs_root
def test_a_stranger_can_do_nothing_to_a_session(victim: Callable[..., Victim]) -> None:
    """A stranger cannot open, list, rename, link, replace or remove its files, nor read its key. It goes on."""
    session = victim("000")
    done = as_stranger(ATTACK.read_text(), session.segment, session.semaphore, *session.everything())
    assert done == []
    session.finish()


def test_a_session_listens_on_no_socket_that_others_can_reach(victim: Callable[..., Victim]) -> None:
    """There is no control socket with peers to check. The only socket lies in the private directory."""
    session = victim()
    collectors = [session.watch.collector(role) for role in ("guard", "worker")]
    processes = [psutil.Process(session._program.pid), *collectors]
    for process in processes:
        # Sockets without a name are pairs within one process, such as those of rerun's native part.
        named = {found.laddr for found in process.net_connections("all") if found.laddr}
        assert named <= {str(session.runtime / "births")}, process.cmdline()
    with session.watch.stopped():
        assert [path.name for path in session.everything() if stat.S_ISSOCK(path.lstat().st_mode)] == ["births"]
    assert stat.S_IMODE(session.runtime.stat().st_mode) == 0o700
    session.finish()


# ---- planted files ---------------------------------------------------------------------------------------------------

IN_SESSION = """
import json, sys
import rerun_mp as rr
said = []
rr.log("before", rr.TextLog("secret text"))
try:
    rr.init("rerun_mp_planted")
except rr.RerunMpError as error:
    said.append([type(error).__name__, str(error)])
rr.log("after", rr.TextLog("secret text"))
print(json.dumps(said))
"""

PLANT = """
kind, path, mode, target = sys.argv[1:]
os.umask(0)
if kind == "file":
    with open(path, "wb") as file:
        file.write(bytes(1 << 20))
    os.chmod(path, int(mode, 8))
elif kind == "directory":
    os.mkdir(path, int(mode, 8))
elif kind == "fifo":
    os.mkfifo(path, int(mode, 8))
else:
    os.symlink(target, path)
print("[]")
"""


def secrets_below(path: Path) -> list[Path]:
    """Return the files below `path`, or `path` itself, that hold a row of the program."""
    files = [path] if path.is_file() else [found for found in path.rglob("*") if found.is_file()]
    return [found for found in files if b"secret" in found.read_bytes()]


@needs_root
@pytest.mark.parametrize(
    ("kind", "mode"), [("file", "0666"), ("file", "0600"), ("directory", "0777"), ("fifo", "0666"), ("symlink", "0")]
)
def test_a_file_that_a_stranger_planted_at_the_segments_name_is_refused(
    kind: str, mode: str, run_python: RunPython, place: Path
) -> None:
    """RERUN_MP_SESSION names another user's file: a warning, an error that says what to do, no row there, no hang."""
    watch = SessionWatch()
    target = place / "target"
    target.write_bytes(bytes(4096))
    target.chmod(0o666)
    as_stranger(PLANT, kind, watch.segment, mode, target)
    try:
        done = run_python(IN_SESSION, env=watch.environment).check()
        ((name, message),) = json.loads(done.stdout)
        assert secrets_below(watch.segment.resolve()) == []
    finally:
        if kind == "directory":
            watch.segment.rmdir()
        else:
            watch.segment.unlink()
    assert name == "PrivacyError"
    assert str(watch.segment) in message
    assert "Remove it, or set RERUN_MP_SESSION" in message
    assert str(watch.segment) in done.stderr
    assert target.read_bytes() == bytes(4096)


@needs_root
@pytest.mark.parametrize("kind", ["directory", "symlink", "file"])
@pytest.mark.parametrize("which", ["runtime", "spool"])
def test_a_file_that_a_stranger_planted_in_a_sticky_directory_is_refused(
    which: str, kind: str, run_python: RunPython, place: Path
) -> None:
    """As in /tmp, where any user may make our directory's name first. The error names it; it is not used or changed."""
    shared, target = place / "shared", place / "target"
    place.chmod(0o755)
    shared.mkdir()
    shared.chmod(0o1777)
    target.mkdir(mode=0o700)
    name = f"rerun_mp-{os.geteuid()}" if which == "runtime" else "rerun_mp"
    planted = shared / name
    as_stranger(PLANT, kind, planted, "0777", target)
    before = planted.lstat()
    env: dict[str, str | None] = {"TMPDIR": str(shared), "XDG_RUNTIME_DIR": None}
    if which == "spool":
        env = {"XDG_CACHE_HOME": str(shared)}
    done = run_python(IN_SESSION, env=env).check()
    ((error, message),) = json.loads(done.stdout)
    assert error in {"PrivacyError", "ResourceError"}
    assert str(planted) in message
    assert "XDG_CACHE_HOME" in message
    assert planted.lstat().st_mtime_ns == before.st_mtime_ns
    assert secrets_below(shared) == secrets_below(target) == []
    assert list(target.iterdir()) == []


def test_a_link_in_place_of_our_directory_is_not_followed(run_python: RunPython, place: Path) -> None:
    """Not even a link of our own user to a directory that would do."""
    target = place / "target"
    target.mkdir(mode=0o700)
    planted = place / "runtime" / "rerun_mp"
    planted.symlink_to(target)
    done = run_python(IN_SESSION).check()
    ((error, message),) = json.loads(done.stdout)
    planted.unlink()
    assert error == "PrivacyError"
    assert str(planted) in message
    assert list(target.iterdir()) == []


PLANT_SEMAPHORE = """
os.umask(0)
libc = ctypes.CDLL(None, use_errno=True)
libc.sem_open.restype = ctypes.c_void_p
made = libc.sem_open(sys.argv[1].encode(), os.O_CREAT | os.O_EXCL, ctypes.c_uint(0o666), ctypes.c_uint(0))
print("[1]" if made else "[0]")
"""


RING_SEMAPHORE = """
libc = ctypes.CDLL(None, use_errno=True)
libc.sem_open.restype = ctypes.c_void_p
libc.sem_post(ctypes.c_void_p(libc.sem_open(sys.argv[1].encode(), 0)))
print("[]")
"""


@needs_root
def test_the_collector_does_not_wait_for_a_planted_semaphore(capfd: pytest.CaptureFixture[str]) -> None:
    """A user who sees the collector's command line could make its semaphore first. A line names it; it is not used."""
    from rerun_mp.shm.doorbell import Bell, Ringer, name_of

    nonce = os.urandom(16)
    path = Path("/dev/shm/sem." + name_of(nonce)[1:])
    assert as_stranger(PLANT_SEMAPHORE, name_of(nonce)) == [1]
    try:
        assert path.stat().st_uid == STRANGER
        ringer = Ringer(nonce)
        ringer.ring()
        bell = Bell(nonce)
        assert str(path) in capfd.readouterr().err
        as_stranger(RING_SEMAPHORE, name_of(nonce))
        assert not bell.wait(0.01)
        bell.remove()
        assert path.exists()
        assert int.from_bytes(path.read_bytes()[:4], "little") == 1, "only the stranger has rung it"
    finally:
        path.unlink()
