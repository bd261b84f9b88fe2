"""Mixed episodes whose disk becomes full, whose files are removed, and whose paths another program wants, too.

As a program: `python -m tests.soak.mixed_harm DIRECTORY SEED STEPS` plays an episode on a small disk, which the caller
has mounted at `disk` in the directory (see `small_disk`). Prints its figures as JSON, or ends with 1.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

from rerun_mp.shm.layout import Header
from tests.harness.programs import ROOT, Program, wait_until
from tests.harness.sessions import SessionWatch
from tests.harness.small_disks import may_unshare
from tests.soak.mixed import STEPS, Mixed, Process
from tests.soak.mixed_checks import Content, Target
from tests.soak.player import COLUMNS
from tests.soak.small_disk import SmallDisk, on_small_disk

__all__ = ["run_mixed"]

DISK_BYTES = 400 << 20
FREE_BYTES = (0, 0, 4 << 10, 1 << 20, 8 << 20, 9 << 20, 12 << 20)
"""What a full disk has left. The collector keeps 8 MiB free on each disk."""
ON_DISK = ("d", "e", "f", "r1")
"""Names of the files that lie on the small disk."""
EPISODE_SECS = 300.0
RETRY_SECS = 5.2
"""Seconds after which a file that has failed is tried again."""
RETURN_SECS = 4.0
"""Seconds in which a removed file is there again if the collector has it open."""

_may_unshare = cache(may_unshare)


class Harmed(Mixed):
    """An episode whose disk becomes full, unless `disk` is None."""

    def __init__(
        self, own: Path, environment: dict[str, str], seed: str, steps: int, log: Any, disk: SmallDisk | None
    ) -> None:
        super().__init__(own, environment, seed, steps, log)
        self.disk = disk
        self.weights.update(remove=3, rival=2)
        self.lives_before = 0
        """Number of workers before the present call that sets sinks."""
        if disk is not None:
            self.weights["disk"] = 8
            self.directories.append(disk.directory)

    def path_of(self, name: str) -> str:
        """Return the path of the file with this name."""
        is_on_disk = self.disk is not None and name.endswith(ON_DISK)
        return str(self.disk.directory / f"{name}.rrd") if self.disk and is_on_disk else super().path_of(name)

    def ask(self, process: Process, do: str, **arguments: Any) -> Any:
        """Send a command, perhaps kill a process of the collector meanwhile, and return the answer.

        While the disk is full, no file on it can be completed for good, and the call waits. So it gets room.
        """
        self.send(process, do, **arguments)
        self.perhaps_harm()
        if do == "sinks" and self.disk is not None and self.disk.is_full:
            time.sleep(self.choose.choice((0.0, 0.1, 1.5)))
            self.log("room on the disk")
            self.disk.make_room()
        return self.answer(process)

    def do_disk(self) -> None:
        """Fill the disk while processes log, or make room on it."""
        assert self.disk is not None
        if self.disk.is_full:
            if self.choose.random() < 0.3:
                time.sleep(RETRY_SECS)
            self.log("room on the disk")
            self.disk.make_room()
            if self.choose.random() < 0.3:
                self.do_log()
                time.sleep(RETRY_SECS)
            return
        free = self.choose.choice(FREE_BYTES)
        self.log(f"{free} bytes are left on the disk")
        self.faults["disk filled in a mixed episode"] += 1
        plans = self.begin_log() if self.choose.random() < 0.5 else []
        self.disk.fill(free)
        self.end_log(plans)

    def do_sinks(self) -> None:
        """Set sinks, and note which collector may have opened their files."""
        self.lives_before = self.lives()
        super().do_sinks()

    def begin(self, process: Process, rec: str, sink: dict[str, Any], mine: list[Target], *, is_whole: bool) -> Target:
        """Note a sink that was set."""
        found = super().begin(process, rec, sink, mine, is_whole=is_whole)
        if found not in mine:
            # A file that begins with rows which an earlier worker has stored goes on in another part at once.
            is_inherited = bool(self.pending[rec]) and self.lives_before > 1
            found.lives = -1 if is_inherited else self.lives_before
        return found

    def lives(self) -> int:
        """Return how many workers the collector has had."""
        return self.watch.header(Header.WORKER_LIVES)

    def do_remove(self) -> None:
        """Remove a file that is written.

        It is there again with all rows that are stored if the collector has it open: if it was never complete, and no
        collector was killed since it was set. Otherwise the rows until now may be gone.
        """
        files = [one for one in self.targets if one.kind == "file" and one.rotate is None and os.path.isfile(one.name)]
        if not files or (self.disk is not None and self.disk.is_full):
            return
        one = self.choose.choice(files)
        for process in self.alive():
            self.send(process, "flush")
            self.answer(process)
        is_killed = self.choose.random() < 0.2
        is_open = one.lives == self.lives() and not one.checkpoints and one.mode == "new" and bool(one.content.sure)
        self.log(f"remove {one.name}; its rows {'may be gone' if is_killed or not is_open else 'stay'}")
        self.faults["file removed in a mixed episode"] += 1
        os.unlink(one.name)
        if is_open and not is_killed:
            self.look()
            wait_until(lambda: os.path.exists(one.name), what=f"{one.name}, which was removed")
            return
        if is_killed:
            self.watch.kill_running("worker")
        else:
            # Later rows are in the removed file, too, until it is there again. It need not come back.
            with contextlib.suppress(TimeoutError):
                wait_until(lambda: os.path.exists(one.name), timeout_secs=RETURN_SECS)
        for content in self.files[one.name].values():
            content.maybe |= content.sure
            content.sure.clear()

    def do_rival(self) -> None:
        """Let a program of another session save to a path that a living process of this one has."""
        files = [
            one
            for one in self.targets
            if one.kind == "file" and one.rotate is None and os.path.isfile(one.name)
            if self.processes[one.owner].is_alive
        ]
        if not files or (self.disk is not None and self.disk.is_full):
            return
        path, mode = self.choose.choice(files).name, self.choose.choice(("new", "new", "append", "resume"))
        self.names += 1
        name = f"founder-rival{self.names}"
        directory = self.own / name
        directory.mkdir()
        program = Program(
            ROOT / "tests/soak/player.py",
            self.own,
            name,
            directory=directory,
            env={**self.environment, **SessionWatch().environment},
        )
        try:
            rival = self.accept(None)
            del self.processes[name]  # it does no other commands
            self.faults["path wanted by another program in a mixed episode"] += 1
            self.save_as_rival(rival, path, mode)
            rival.lines.write('{"do": "exit"}\n')
            rival.lines.close()
            program.wait(timeout_secs=EPISODE_SECS).check()
            is_told = f"{path} is being written by another program; the rows of this one go to" in program.stderr
            assert is_told == (mode == "new"), program.stderr
        finally:
            program.end()

    def save_as_rival(self, rival: Process, path: str, mode: str) -> None:
        """Log as a program that wants another one's path: its file is beside, and it cannot add to the other's file."""
        rec, stem = f"{rival.name}-0", path.removesuffix(".rrd")
        beside = next(one for one in (f"{stem}-{n}.rrd" for n in count(2)) if not os.path.exists(one))
        self.send(rival, "sinks", rec=rec, sinks=[{"kind": "file", "path": path, "mode": mode}])
        if mode != "new":
            refusal = "nothing"
            try:
                self.answer(rival)
            except AssertionError as error:
                refusal = str(error)
            assert "is being written by another program" in refusal, f"{path} was wanted too, and refused: {refusal}"
            return
        self.answer(rival)
        calls = self.draw_calls(rival, 20)
        self.send(rival, "log", rec=rec, calls=calls)
        self.answer(rival)
        content = self.files.setdefault(beside, {}).setdefault(rec, Content())
        target = Target("file", beside, rec, rival.name, content)
        for entity, kind, number in calls:
            for row in range(number, number + (COLUMNS if kind == "columns" else 1)):
                self.put(target, entity, row, static=kind == "static", sure=True)

    def before_end(self) -> None:
        """Make room before the end, or leave the disk full."""
        if self.disk is not None and self.disk.is_full and self.choose.random() < 0.5:
            self.log("room on the disk")
            self.disk.make_room()

    def before_recovery(self) -> bool:
        """Make room, so that a recovery can complete the files. Returns whether there was none."""
        if self.disk is None or not self.disk.is_full:
            return False
        self.log("room on the disk after the end")
        self.disk.make_room()
        return True


def run_mixed(
    own: Path, environment: dict[str, str], seed: str, *, steps: int = STEPS
) -> tuple[Counter[str], int, int, int]:
    """Run a mixed episode. Returns the faults, and the rows that were returned, are lost, and occur twice.

    Raises
    ------
    AssertionError
        If a file or an account is not as expected, with all commands.
    """
    if random.Random(f"disk {seed}").random() < 0.5 or not _may_unshare():
        return _play(own, environment, seed, steps, None)
    disk = own / "disk"
    disk.mkdir()
    command = on_small_disk(disk, str(DISK_BYTES), "-m", __name__, own, seed, str(steps))
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=EPISODE_SECS
    )
    assert done.returncode == 0, done.stderr
    faults, returned = json.loads(done.stdout.splitlines()[-1])
    return Counter(faults), returned, 0, 0


def _play(
    own: Path, environment: dict[str, str], seed: str, steps: int, disk: SmallDisk | None
) -> tuple[Counter[str], int, int, int]:
    begin = time.monotonic()
    lines: list[str] = []
    episode = Harmed(
        own, environment, seed, steps, lambda text: lines.append(f"{time.monotonic() - begin:6.2f} {text}"), disk
    )
    try:
        returned = episode.run()
    except (AssertionError, TimeoutError, OSError) as error:
        raise AssertionError("\n".join((*lines, *episode.failures, str(error)))) from error
    return episode.faults, returned, 0, 0


def main() -> None:
    """Play one episode on a small disk."""
    own, seed, steps = sys.argv[1:]
    found = _play(Path(own), {}, seed, int(steps), SmallDisk(Path(own) / "disk"))
    print(json.dumps(found[:2]))


if __name__ == "__main__":
    main()
