"""Programs that ask which rerun they have take the same branch with rerun_mp as with rerun itself."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.cli.commands import call
from tests.conftest import RunPython

PROGRAM = Path(__file__).with_name("programs") / "probing.py"


def test_every_way_of_asking_has_the_answer_of_rerun(run_python: RunPython) -> None:
    theirs, ours = (json.loads(run_python(PROGRAM, module).check().stdout) for module in ("rerun", "rerun_mp"))
    assert ours == theirs
    assert theirs["set_time_seconds"] == [False, False, True, False, False, False]
    assert theirs["Scalars"] == [True, True, False, True, True, False]
    assert theirs["a call"] == ["new"]


def test_a_program_that_is_run_has_the_answers_of_rerun(run_python: RunPython, tmp_path: Path) -> None:
    alone = json.loads(run_python(PROGRAM, "rerun").check().stdout)
    run = call("run", "--save", tmp_path / "run.rrd", "--", sys.executable, PROGRAM, "rerun")
    assert json.loads(run.stdout) == alone, run.stderr


SEED = """
import sys, warnings
import rerun_mp as rr
for name in ("new_recording", "set_strict_mode", "start_web_viewer_server"):
    assert hasattr(rr, name), name
with warnings.catch_warnings(record=True):
    warnings.simplefilter("always")
    rr.init("rerun_mp_seed", exp_init_blueprint=True)
rr.set_strict_mode(True)
recording = rr.new_recording("rerun_mp_seed")
rr.save(sys.argv[1])
rr.log("row", rr.Scalars(1.0), recording=recording)
assert rr.start_web_viewer_server(0).startswith("http://")
try:
    rr.set_time_seconds("time", 1.0)
except AttributeError as error:
    print(error)
"""


def test_names_of_our_own_stay_and_dropped_names_say_what_to_do(run_python: RunPython, tmp_path: Path) -> None:
    done = run_python(SEED, tmp_path / "out.rrd").check()
    assert "use set_time(timeline, timestamp=seconds)" in done.stdout
    assert "RERUN_MP_OLD_NAMES=1" in done.stdout
