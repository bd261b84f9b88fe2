"""Collectors die before a change of a file or directory, each run's before another one, while a file begins to rotate.

Usage: rotation_steps.py DIRECTORY FIRST STRIDE. In each run a store takes sweeps whose rows wait for a file. Then the
program sets a file that rotates, with rules, and more sweeps come. The first life of the store is killed before its
change of files FIRST, FIRST + STRIDE and so on; in every second run the next life dies, too. The last life ends the
session. As in a collector, each life first takes the configuration and then repeats the sweep that is not done. Each
run is made with each number of `SET_AFTER`: how many sweeps are done when the program sets the file. The program ends
when a first life lives to the session's end.

Writes the parts of DIRECTORY/SET_AFTER-AT.rrd for each run. Prints a JSON object for each: how many lives died, and the
rows that the last one held back.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
from itertools import count
from pathlib import Path
from typing import Any

import rerun_mp as rr
from rerun_mp.collector.drain.chunks import ChunkBatch
from rerun_mp.collector.drain.frame_chunks import TakenFrames, build_chunks
from rerun_mp.collector.store.recording_store import RecordingStore
from rerun_mp.session.config import SinkSpec
from rerun_mp.session.file_claims import claim_file
from rerun_mp.session.rotation import Rotation
from rerun_mp.session.rules import file_values_of
from tests.collector.made_frames import NONCE, RECORDING, scalars_frame
from tests.collector.store.made_stores import FLUSH_SECS

ENTITIES = ("free", "cut", "third")
SWEEPS = 5
CHUNKS = 4
"""Chunks of each entity in a sweep."""
ROWS = 5
"""Rows of a chunk."""
SET_AFTER = (2, 1, 0)
CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.link")


def main() -> None:
    """Make runs until a first life reaches the end."""
    directory, first, stride = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    rng = random.Random(first)
    for set_after in SET_AFTER:
        for at in count(first, stride):
            out = directory / f"{set_after}-{at}.rrd"
            own = directory / "own"
            own.mkdir()
            spec = ruled_parts(out)
            deaths = [at, rng.randrange(at + 1), None] if at // stride % 2 else [at, None]
            died = 0
            for number in deaths:
                if not is_killed(own, spec, set_after, number):
                    break
                died += 1
            held = int((own / "held").read_text())
            print(json.dumps({"name": out.name, "died": died, "held": held}), flush=True)
            shutil.rmtree(own)
            if not died:
                break


def ruled_parts(out: Path) -> SinkSpec:
    """Return the sink of a file that rotates at 4096 bytes, with rules, and claim its first part as a program does."""
    first = str(out.with_suffix(".0001.rrd"))
    return SinkSpec(
        "file",
        first,
        wanted=str(out),
        claim=claim_file(first, "program"),
        rotation=Rotation(bytes=4096).values,
        rules=file_values_of([rr.Rule(path="cut", off=True), rr.Rule(path="third", every=3)], str(out)),
    )


def is_killed(own: Path, spec: SinkSpec, set_after: int, number: int | None) -> bool:
    """Run a life that is killed before change `number`, in a forked child. Returns whether it was."""
    child = os.fork()
    if child == 0:
        sys.addaudithook(Killer(number))
        live(own, spec, set_after)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL), status
    return status != 0


class Killer:
    """Kills this process before a change of a file or directory that Python makes."""

    def __init__(self, number: int | None) -> None:
        self._number = number
        self._changes = 0

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        """Take an event of `sys.audit`."""
        is_change = event in CHANGES or (event == "open" and args[2] & (os.O_WRONLY | os.O_RDWR))
        if not is_change or self._number is None:
            return
        if self._changes == self._number:
            os.kill(os.getpid(), signal.SIGKILL)
        self._changes += 1


def live(own: Path, spec: SinkSpec, set_after: int) -> None:
    """Take over from the life before, and go on to the session's end."""
    store = RecordingStore(RECORDING, own / "spool", NONCE)
    done, is_set = (own / "done"), (own / "set")
    first = done.stat().st_size if done.exists() else 0
    for sweep in range(first, SWEEPS):
        if sweep >= set_after or is_set.exists():
            is_set.touch()
            store.set_files([spec])
        taken = chunks_of(sweep)
        store.begin(sweep + 1, {chunk.chunk_id for chunk in taken})
        assert not store.append(taken)
        store.flush(FLUSH_SECS)
        with done.open("ab", buffering=0) as file:
            file.write(b".")
        if sweep >= set_after:
            store.rotate_if_due()
    store.set_files([spec])
    (own / "held").write_text(str(store.chunks.held_rows))
    store.complete()


def chunks_of(sweep: int) -> list[ChunkBatch]:
    """Return the chunks of a sweep."""
    frames = []
    for number in range(CHUNKS):
        for entity in ENTITIES:
            row = (sweep * CHUNKS + number) * ROWS
            values = [float(one) for one in range(row, row + ROWS)]
            row_id = (1 + ENTITIES.index(entity), row)
            frames.append(scalars_frame(values, row_id=row_id, entity_path=f"/{entity}"))
    slots = [TakenFrames(at, 0, sweep, sweep + 1, [one]) for at, one in enumerate(frames)]
    return [chunk for slot in slots for chunk in build_chunks([slot], nonce=NONCE).chunks]


if __name__ == "__main__":
    main()
