"""`rerun-mp doctor` finds what is wrong, and says for each problem what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rerun_mp.monitoring.overview import look_at
from tests.cli.commands import call
from tests.conftest import StartPython
from tests.harness.sessions import SessionWatch


def checks(**environment: str) -> dict[str, dict[str, Any]]:
    """Return the doctor's checks by name."""
    return {one["name"]: one for one in json.loads(call("doctor", "--json", env=environment).stdout)}


def test_each_check_says_what_it_found(place: Path) -> None:
    shown = call("doctor")
    found = checks()
    assert shown.returncode == 0, shown.stdout
    for name in ("kernel", "rerun-sdk", "shared memory", "spool", "open files", "Vulkan", "display", "viewer"):
        assert name in shown.stdout
        assert found[name]["found"]
    assert found["rerun-sdk"]["verdict"] == "ok"
    assert found["exit_timeout"]["found"] == "60.0 (default; RERUN_MP_EXIT_TIMEOUT changes it)"
    assert all(one["advice"] for one in found.values() if one["verdict"] != "ok")


def test_settings_stand_below_the_checks(place: Path) -> None:
    above, below = call("doctor").stdout.split("\nsettings\n")
    assert "kernel" in above
    assert "ring_bytes" in below
    assert "✓" not in below


def test_a_broken_vulkan_driver_is_a_warning(place: Path) -> None:
    broken = checks(VK_DRIVER_FILES="/nowhere.json", VK_ICD_FILENAMES="/nowhere.json")["Vulkan"]
    assert broken["verdict"] == "warning"
    assert "mesa-vulkan-drivers" in broken["advice"]


def test_settings_say_where_they_come_from(place: Path) -> None:
    found = checks(RERUN_MP_RING_BYTES="1000000", RERUN_MP_POLICY="drop")
    assert found["ring_bytes"]["found"] == "1000000 (from RERUN_MP_RING_BYTES)"
    assert found["policy"]["found"] == "DROP (from RERUN_MP_POLICY)"


def test_problems_change_the_exit_status(place: Path) -> None:
    wrong = call("doctor", env={"RERUN_MP_POLICY": "perhaps"})
    assert wrong.returncode == 1
    assert "RERUN_MP_POLICY='perhaps' is not" in wrong.stdout
    found = checks(RERUN_MP_RING_BYTES=str(1 << 50))
    assert found["shared memory"]["verdict"] == "warning"
    assert "--shm-size" in found["shared memory"]["advice"]


def test_leftover_sessions_are_a_warning_until_they_are_recovered(start_python: StartPython, tmp_path: Path) -> None:
    watch = SessionWatch()
    program = start_python(
        """
        import signal, sys
        import rerun_mp as rr
        rr.init("rerun_mp_doctor")
        rr.save(sys.argv[1])
        rr.log("a", rr.Scalars(1.0))
        print("logged", flush=True)
        signal.pause()
        """,
        tmp_path / "run.rrd",
        env=watch.environment,
    )
    program.wait_for_output("logged")
    watch.wait_for_sweeps(1, since=0)  # the collector runs, so that none begins when everything else has been killed
    watch.kill_everything(program)
    view = look_at(str(watch.segment))
    assert view is not None
    found = checks()["leftover sessions"]
    assert found["verdict"] == "warning"
    assert view.name in found["found"]
    assert "rerun-mp recover" in found["advice"]
    assert call("recover", "--quiet", view.name).returncode == 0
    assert view.name not in checks()["leftover sessions"]["found"]
