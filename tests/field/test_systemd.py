"""The units of the user that the documentation recommends work with systemd."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import rerun_mp as rr
from tests.harness.isolation import may_isolate
from tests.harness.programs import ROOT
from tests.harness.recordings import count_rows, recordings_in, verify
from tests.harness.requirements import need

PROGRAM = Path(__file__).with_name("programs") / "user_units.py"
UNSHARE = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
VARIABLE = "TESTS_NEED_SYSTEMD"


def test_the_units_of_a_robot_share_a_recording_that_goes_on_after_a_restart(place: Path, tmp_path: Path) -> None:
    """Systemd starts a killed camera again; after the session's end, the next parts have the same recording id."""
    is_there = Path("/lib/systemd/systemd").exists() and shutil.which("systemctl") is not None
    need(None if is_there and may_isolate() else "needs systemd, and namespaces", VARIABLE)
    home = tmp_path / "home"
    units = home / ".config" / "systemd" / "user"
    units.mkdir(parents=True)
    example = ROOT / "examples" / "named_session"
    for name in ("robot-recording.service", "robot@.service"):
        shutil.copy(example / name, units)
    (home / "robot").mkdir()
    shutil.copy(example / "part.py", home / "robot")
    # As for a virtual environment: the unit's Python is another one.
    (units / "robot@.service.d").mkdir()
    settings = f"[Service]\nExecStart=\nExecStart={sys.executable} %h/robot/part.py %i\nEnvironment=PYTHONPATH={ROOT}\n"
    (units / "robot@.service.d" / "python.conf").write_text(settings)
    (home / ".local" / "bin").mkdir(parents=True)
    command = home / ".local" / "bin" / "rerun-mp"
    command.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        "from rerun_mp.__main__ import main\nsys.exit(main())\n"
    )
    command.chmod(0o755)
    for _ in range(2):
        shutil.rmtree(home / "runtime", ignore_errors=True)
        done = subprocess.run(
            [*UNSHARE, sys.executable, "-m", "tests.field.programs.user_units", str(home)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr + (home / "systemd.log").read_text()
        assert done.stdout == "1\n", done.stderr
    parts = rr.parts(home / "robot.rrd")
    assert len(parts) == 2
    for part in parts:
        verify(part.path)
        assert set(count_rows(part.path)) == {"robot/camera", "robot/planner"}
        assert min(count_rows(part.path).values()) >= 2
    first, second = (recordings_in(part.path) for part in parts)
    assert first == second == [("rerun_example_robot", parts[0].recording_id)]
    assert parts[0].recording_id == parts[1].recording_id
