"""Rows arrive from a process that has changed its user since it joined its session, as workers of servers do."""

from __future__ import annotations

import os
import signal
import subprocess
import urllib.request
from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import RunPython
from tests.harness.programs import ROOT, wait_until
from tests.harness.recordings import rows_of, verify
from tests.harness.requirements import need_field
from tests.harness.viewers import free_port

pytestmark = [
    pytest.mark.real_collectors,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can change its user"),
]

PROGRAMS = Path(__file__).with_name("programs")
SMALL = {"RERUN_MP_RING_BYTES": str(2 << 20), "RERUN_MP_SLOT_BYTES": str(64 << 10)}
NOBODY = "65534"


@pytest.mark.parametrize("when", ["after", "before", "child", "threads"])
def test_rows_arrive_from_a_process_that_has_changed_its_user(when: str, run_python: RunPython, tmp_path: Path) -> None:
    """The ring is small, so that the process must claim slots after the change."""
    path = tmp_path / "out.rrd"
    done = run_python(PROGRAMS / "changing_user.py", when, path, env=SMALL).check()
    assert done.stderr == ""
    verify(path)
    names = ["a", "b", "c"] if when == "threads" else ["a"]
    expected = Counter(dict.fromkeys(names, 400)) + Counter({f"{name}/image": 8 for name in names})
    expected["a"] += when == "after"
    assert Counter(row.entity_path for row in rows_of(path)) == expected


def test_the_workers_of_gunicorn_log_as_their_user(place: Path, tmp_path: Path) -> None:
    gunicorn, path, port = need_field("gunicorn"), tmp_path / "out.rrd", free_port()
    environment = {**os.environ, "RECORDING": str(path), "PYTHONPATH": f"{ROOT}{os.pathsep}{PROGRAMS}"}
    log = (tmp_path / "log").open("wb")
    server = subprocess.Popen(
        [
            gunicorn,
            f"--config={PROGRAMS / 'gunicorn_settings.py'}",
            "--user=nobody",
            f"--bind=127.0.0.1:{port}",
            f"--worker-tmp-dir={place}",
            "served:application",
        ],
        env=environment,
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        url = f"http://127.0.0.1:{port}/"
        wait_until(lambda: (tmp_path / "log").read_text().count("handles signals") == 2, what="gunicorn's workers")
        answers = Counter(urllib.request.urlopen(f"{url}{number}").read().decode() for number in range(50))
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)
        log.close()
    assert answers == {NOBODY: 50}
    verify(path)
    rows = rows_of(path)
    assert sorted(int(row.components["TextLog:text"].as_py()[0][1:]) for row in rows) == list(range(50))
    assert b"RerunWarning" not in (tmp_path / "log").read_bytes()
