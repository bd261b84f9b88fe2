"""A live sink gets what its rules allow, the file has every row, and the account says how many rows are held back."""

from __future__ import annotations

import io
import json
import warnings
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from tests.collector.store.made_stores import chunks, write_file
from tests.conftest import RunPython, StartPython
from tests.harness.programs import wait_until
from tests.harness.recordings import Row, recordings_in, rows_of, verify
from tests.harness.rerun_names import RrdReader
from tests.harness.servers import Server
from tests.harness.sessions import SessionWatch
from tests.harness.viewers import free_port

PROGRAM = Path(__file__).with_name("programs") / "ruled.py"


def test_rules_hold_rows_back_from_the_server_and_not_from_the_file(run_python: RunPython, tmp_path: Path) -> None:
    path, port = tmp_path / "run.rrd", free_port()
    server = Server(tmp_path / "saved.rrd", port)
    try:
        done = run_python(PROGRAM, path, f"rerun+http://127.0.0.1:{port}/proxy").check()
        account = json.loads(done.stdout)
        assert account["held"] + account["acknowledged"] == account["stored"]
        in_file = {row.row_id: row for row in rows_of(path)}
        assert len(in_file) == account["stored"]
        wait_until(lambda: len(saved(server)) == account["acknowledged"], what="rows in the server's file")
        sent = saved(server)
    finally:
        server.end()
    counts = Counter(row.entity_path.strip("/") for row in sent)
    assert counts["free"] == 200
    assert counts["every"] == 20 + 1, "and the static row"
    assert 50 < counts["sampled"] < 150
    assert counts["rated"] in (1, 2)
    assert not [name for name in counts if name.startswith("debug")]
    assert {row.row_id for row in sent} <= set(in_file), "rows keep their ids"

    jpeg = one(sent, "camera/left").components
    assert jpeg["EncodedImage:media_type"].as_py() == ["image/jpeg"]
    picture = Image.open(io.BytesIO(bytes(jpeg["EncodedImage:blob"].as_py()[0])))
    assert picture.size == (32, 24)
    red, green, _ = picture.getpixel((5, 5))  # type: ignore[misc]
    assert red > 190
    assert green < 20
    small = one(sent, "small").components
    assert (small["Image:format"].as_py()[0]["width"], small["Image:format"].as_py()[0]["height"]) == (32, 24)
    assert len(small["Image:buffer"].as_py()[0]) == 32 * 24 * 3
    depth = one(sent, "camera/depth")
    assert depth.components.keys() == in_file[depth.row_id].components.keys()
    original = one(list(in_file.values()), "camera/left").components
    assert len(original["Image:buffer"].as_py()[0]) == 48 * 64 * 3


def one(rows: list[Row], path: str) -> Row:
    """Return the only row of an entity."""
    [row] = [row for row in rows if row.entity_path.strip("/") == path]
    return row


def saved(server: Server) -> list[Row]:
    """Return the rows that the server has saved; none while its file cannot be read."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="RRD file has no footer")
            return rows_of(server.saved)
    except (RuntimeError, ValueError, OSError):
        return []


FILE_PROGRAM = PROGRAM.with_name("file_ruled.py")
LOGGED = 2 * 5 * 200 + 2


@pytest.mark.parametrize("how", ["alone", "beside", "live", "append", "rotate", "killed"])
def test_a_file_has_what_its_rules_allow_and_the_accounts_add_up(
    how: str, run_python: RunPython, tmp_path: Path
) -> None:
    if how == "append":
        write_file(tmp_path / "run.rrd", chunks([1]))
    found = json.loads(run_python(FILE_PROGRAM, how, tmp_path, env=SessionWatch().environment).check().stdout)
    others = {"beside", "live"}
    files = sorted(tmp_path.glob("run*.rrd"))
    assert len(files) == (2 if how == "rotate" else 1)
    name = "rerun_mp_file_rules"
    stores = [one for one in RrdReader(str(files[0])).recordings() if one.application_id == name]
    rows = [row for path in files for row in rows_of(path, recording_id=stores[0].recording_id)]
    counts = Counter(row.entity_path.strip("/") for row in rows)
    assert counts["free"] == 400
    assert counts["every"] in (40 + len(files), 41 + len(files)), "each tenth row, and the static row in each file"
    assert counts["rated"] in (1, 2)
    assert not any(path.startswith("off") for path in counts)
    assert 120 < counts["sampled"] < 280
    in_file = sum(counts.values()) - (len(files) - 1)
    assert in_file + found["held_by_file"] == LOGGED
    assert found["dropped"] == found["refused"] == 0
    if how in others:
        assert (found["stored"], found["held_back"]) == (LOGGED, 0), "another sink takes every row"
    else:
        assert (found["stored"], found["held_back"]) == (in_file, found["held_by_file"])
    if how == "beside":
        assert len(rows_of(tmp_path / "full.rrd")) == LOGGED
    if how == "rotate":
        assert len(rows_of(tmp_path / "snapshot.rrd")) == in_file


RESUMING_PROGRAM = PROGRAM.with_name("resuming_ruled.py")


def test_a_file_with_rules_goes_on_after_a_kill_of_everything(
    run_python: RunPython, start_python: StartPython, tmp_path: Path
) -> None:
    """The rows of the killed run that no collector had swept fulfil the rules, too. Each run counts anew."""
    path = tmp_path / "run.rrd"
    watch = SessionWatch()
    killed = start_python(RESUMING_PROGRAM, "waiting", path, env=watch.environment, start_new_session=True)
    killed.wait_for_output("logged")
    watch.kill_everything(killed)
    done = run_python(RESUMING_PROGRAM, "ended", path).check()
    assert json.loads(done.stdout) == {"stored": 110, "held_back": 190, "dropped": 0}
    verify(path)
    assert len(recordings_in(path)) == 1
    rows = rows_of(path)
    assert Counter(row.entity_path.strip("/") for row in rows) == {"free": 300, "every": 30}
    assert len({row.row_id for row in rows}) == len(rows)
    every = [row.components["Scalars:scalars"].as_py()[0] for row in rows if row.entity_path.strip("/") == "every"]
    assert sorted(every) == sorted(3 * list(range(0, 100, 10)))
