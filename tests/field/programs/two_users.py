"""Two users have a session with the same name at once, and one of them attacks the other's.

Usage: two_users.py DIRECTORY. Runs as root in a mount namespace of its own, which the caller makes. Prints what each
attempt of the second user came to, one line of JSON, and writes DIRECTORY/first/out.rrd and DIRECTORY/second/out.rrd.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

USERS = {"first": 65532, "second": 65533}
ROWS = 20
ATTACK = Path(__file__).with_name("harming_another_user.py")

MEMBER = f"""
import faulthandler, os, sys
faulthandler.dump_traceback_later(90, exit=True)  # a call that waits for ever shows where
import rerun_mp as rr
name = sys.argv[1]
rr.init("rerun_mp_two_users", session="robot-7")
rr.save(os.path.expanduser("~/out.rrd"))
for step in range({ROWS}):
    rr.set_time("step", sequence=step)
    rr.log(name, rr.Scalars(float(step)))
rr.flush()
print("logged", flush=True)
sys.stdin.read()
"""


def main() -> None:
    """Run the users' programs."""
    base = Path(sys.argv[1])
    open_the_interpreter()
    members = {}
    for name, user in USERS.items():
        home = base / name
        home.mkdir(mode=0o700)
        os.chown(home, user, user)
        members[name] = start(name, MEMBER, name)
    for member in members.values():
        assert member.stdout is not None
        assert member.stdout.readline() == "logged\n"
    attack = start("second", ATTACK.read_text(), str(base / "first"), str(members["first"].pid))
    print(attack.communicate(timeout=90)[0], flush=True)
    for member in members.values():
        member.communicate(timeout=60)
        assert member.returncode == 0


def start(name: str, code: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a program of a user."""
    home, user = Path(sys.argv[1]) / name, USERS[name]
    root = Path(__file__).resolve().parents[3]
    environment = {"HOME": str(home), "PATH": os.defpath, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        user=user,
        group=user,
        extra_groups=[],
        cwd=home,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def open_the_interpreter() -> None:
    """Let every user reach Python where it lies in root's home, in this namespace."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=1777", "none", "/dev/shm"], check=True)
    prefix = Path(sys.base_prefix)
    if not prefix.is_relative_to("/root") or os.stat("/root").st_mode & 0o001:
        return
    aside = Path(sys.argv[1]) / "interpreter"
    aside.mkdir()
    subprocess.run(["mount", "--bind", prefix, aside], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "none", "/root"], check=True)
    prefix.mkdir(parents=True)
    subprocess.run(["mount", "--bind", aside, prefix], check=True)


if __name__ == "__main__":
    main()
