"""What a program gives to workers of a cluster, so that they log into its recording and ship to its head."""

from __future__ import annotations

import json

from tests.conftest import RunPython

PROGRAM = """
import json, os
import rerun_mp as rr
from rerun_mp.integrations.clusters import shared_variables
before = shared_variables("rerun_mp_cluster")
head = "rerun+http://127.0.0.1:1/proxy"
rr.init("rerun_mp_cluster", settings=rr.Settings(head=head, head_token="secret", ship_timeout=0))
print(json.dumps([before, shared_variables("rerun_mp_cluster"), rr.get_recording_id()]))
"""


def test_workers_get_recording_and_head_of_the_program(run_python: RunPython) -> None:
    """The head may stand in the program's settings, and not in its environment."""
    before, after, recording = json.loads(run_python(PROGRAM, fresh=True).check().stdout)
    assert before["RERUN_MP_RECORDING"] == after["RERUN_MP_RECORDING"] == recording
    assert before["RERUN_MP_JOB"] == after["RERUN_MP_JOB"]
    assert "RERUN_MP_HEAD" not in before
    assert after["RERUN_MP_HEAD"] == "rerun+http://127.0.0.1:1/proxy"
    assert after["RERUN_MP_HEAD_TOKEN"] == "secret"
    assert after["RERUN_MP_SHIP_TO"] == "http://127.0.0.1:2"
