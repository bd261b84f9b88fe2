"""Runs units of the user with systemd, in process and mount namespaces of their own, which the caller makes.

Usage: user_units.py HOME. The units lie in HOME/.config/systemd/user. Starts the session's recording, a camera and a
planner, kills the camera, waits for its second life, stops all units, and prints how often the camera was restarted.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from rerun_mp.monitoring.overview import look
from tests.harness.programs import wait_until

UNITS = ("robot-recording.service", "robot@camera.service", "robot@planner.service")


def main() -> None:
    """Run the units."""
    home = Path(sys.argv[1])
    # systemd asks whether the machine was booted with it.
    for directory in ("/run", "/dev/shm"):
        subprocess.run(["mount", "-t", "tmpfs", "none", directory], check=True)
    os.makedirs("/run/systemd/system")
    runtime = home / "runtime"
    runtime.mkdir(mode=0o700)
    os.environ |= {"HOME": str(home), "XDG_RUNTIME_DIR": str(runtime)}
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "DBUS_SESSION_BUS_ADDRESS"):
        os.environ.pop(name, None)
    with (home / "systemd.log").open("wb") as log:
        manager = subprocess.Popen(
            ["/lib/systemd/systemd", "--user", "--unit=basic.target", "--log-target=console"], stdout=log, stderr=log
        )
    try:
        wait_until((runtime / "systemd" / "private").exists, what="systemd")
        control("start", *UNITS)
        wait_until(lambda: writers() == 2, what="camera and planner")
        control("kill", "--signal=KILL", "robot@camera.service")
        wait_until(lambda: writers() == 3, what="the second camera")
        print(control("show", "--property=NRestarts", "--value", "robot@camera.service"), flush=True)
        control("stop", *UNITS)
    finally:
        manager.terminate()
        manager.wait(60)


def control(*arguments: str) -> str:
    """Run systemctl, and return its output."""
    done = subprocess.run(["systemctl", "--user", *arguments], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


def writers() -> int:
    """Return how many processes have logged."""
    return len({one.pid for view in look()[0] for one in view.processes if one.logged})


if __name__ == "__main__":
    main()
