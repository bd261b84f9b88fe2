"""Damage segments at random, and let the collector's own code drain them.

    python -m tests.hostile.fuzz --seed 7 --count 100000      a run
    python -m tests.hostile.fuzz --only 7:4711                one segment of the run again, with its traceback

The damage to segment `number` follows from (seed, number) alone. These promises hold for each segment:

- copying, grouping and decoding raise nothing and end, and so does rerun-sdk's reading of the chunks;
- every chunk is valid Arrow, down to each offset and text, and its row ids ascend;
- the chunks of the intact slots are the same as without the damage;
- if rows of a damaged slot are missing, and nothing outside of its bytes was damaged, damage has been counted;
- the process stays within a limit of memory, and the ring is drained: another sweep finds nothing.
"""

from __future__ import annotations

import argparse
import faulthandler
import mmap
import os
import random
import resource
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

HANG_SECS = 60
ROOM_BYTES = 768 << 20
"""Bytes of memory that a run may use beyond those in use when all modules are loaded."""
FILE_EVERY = 2500
"""Segments after which rerun-sdk writes their chunks to a file and reads it back."""
MAX_SWEEPS = 4


class BrokenPromiseError(AssertionError):
    """A promise does not hold for a damaged segment."""


class Fuzzer:
    """Damages victims, lets the collector's code drain them, and checks the promises."""

    def __init__(self, victims: list[Any], seed: int, directory: Path) -> None:
        self.victims = victims
        self.seed = seed
        self.counts: Counter[str] = Counter()
        self._expected: dict[str, dict[str, Any]] = {}
        self._logged: dict[str, Counter[int]] = {}
        self._directory = directory
        self._waiting: list[Any] = []
        for victim in victims:
            chunks, good, _ = self._drain(victim)
            intact = [chunk for chunk in chunks if chunk.recording.application_id == "intact"]
            self._expected[victim.name] = {chunk.chunk_id: chunk for chunk in intact}
            self._logged[victim.name] = good
            assert len(intact) >= 2, victim.name
            assert sum(good.values()) > sum(chunk.num_rows for chunk in intact), victim.name
            victim.restore()

    def run(self, number: int) -> None:
        """Damage and drain one segment."""
        from tests.hostile.mutations import mutate

        rng = random.Random(self.seed << 40 | number)
        victim = rng.choice(self.victims[:-1]) if rng.random() < 0.98 else self.victims[-1]
        self.run_on(victim, mutate, rng, number)
        if number % FILE_EVERY == FILE_EVERY - 1:
            self.write_and_read()

    def run_on(
        self, victim: Any, damage: Callable[[random.Random, Any], None], rng: random.Random, number: int
    ) -> None:
        """Damage and drain a victim, and check the promises."""
        tables = bytes(victim.image.memory[: victim.regions[0][1]])
        try:
            damage(rng, victim)
            is_within = victim.image.memory[: len(tables)] == tables
            if rng.random() < 0.1:
                self._begin_as_a_new_collector(rng, victim)
                is_within = False
            chunks, good, is_counted = self._drain(victim)
            self._check_chunks(victim, chunks)
            logged = self._logged[victim.name]
            if is_within and not is_counted and sum(good.values()) < sum(logged.values()):
                raise BrokenPromiseError(f"{good} of {logged} rows arrived, and no damage was counted")
            self.counts["damage counted" if is_counted else "harmless"] += 1
            self.counts["chunks"] += len(chunks)
            expected = self._expected[victim.name]
            self._waiting += [(number, chunk) for chunk in chunks if chunk.chunk_id not in expected]
        finally:
            victim.restore()

    def _drain(self, victim: Any) -> tuple[list[Any], Counter[int], bool]:
        """Sweep until no row is left. Returns chunks, good rows of each slot, and whether damage was counted."""
        from rerun_mp.collector.drain.sweep import Sweeper
        from rerun_mp.shm.layout import Header, ProducerWord
        from tests.hostile.victims import GEOMETRY, build

        words = victim.image.ring.words
        pair = (ProducerWord.DAMAGE, ProducerWord.DAMAGE + 2)
        entries = [GEOMETRY.producer_word(i) + word for i in range(GEOMETRY.producers) for word in pair]
        before = [words[word] for word in (*entries, Header.DAMAGED_SLOTS)]
        sweeper = Sweeper(victim.image)
        chunks: list[Any] = []
        good: Counter[int] = Counter()
        sweep = sweeper.collect(resume=True)
        for _ in range(MAX_SWEEPS):
            if sweep is not None:
                built = build(victim.image, sweep)
                sweeper.begin(sweep)
                sweeper.complete(sweep, built)
                chunks += built.chunks
                good += built.good_rows
            sweeper.freer.free_done()
            sweep = sweeper.collect()
            if sweep is None:
                break
        else:
            left = {slot: list(sweeper.progress.control[slot]) for slot in (sweep.stops if sweep else ())}
            raise BrokenPromiseError(f"slots still hold rows after {MAX_SWEEPS} sweeps: {left}")
        return chunks, good, [words[word] for word in (*entries, Header.DAMAGED_SLOTS)] != before

    @staticmethod
    def _begin_as_a_new_collector(rng: random.Random, victim: Any) -> None:
        """Forge the words that a collector leaves when it dies in the middle of a sweep."""
        from tests.hostile.victims import GEOMETRY

        ring = victim.image.ring
        for slot in victim.slots:
            sweep, taken = rng.choice((0, 1, 1, 2, 3)), rng.choice((0, 1, 2, 8, 64, 4096, (1 << 28) - 1))
            ring.words[GEOMETRY.line_word(slot) + 3 + rng.randrange(2)] = sweep << 28 | taken

    def _check_chunks(self, victim: Any, chunks: list[Any]) -> None:
        from rerun_mp.collector.store.rerun_sinks import chunk_of
        from rerun_mp.errors import CorruptionError

        found = {chunk.chunk_id: chunk for chunk in chunks}
        for chunk_id, expected in self._expected[victim.name].items():
            chunk = found.get(chunk_id)
            if chunk is None or not chunk.batch.equals(expected.batch, check_metadata=True):
                raise BrokenPromiseError(f"rows of intact slots are missing: {expected.entity_path}")
        for chunk in chunks:
            if chunk.chunk_id in self._expected[victim.name]:
                continue
            chunk.batch.validate(full=True)
            ids = np.frombuffer(chunk.batch.column(0).buffers()[1], ">u8").reshape(-1, 2)
            ids = ids[chunk.batch.column(0).offset :][: chunk.num_rows].astype(np.uint64)
            later = (ids[1:, 0] > ids[:-1, 0]) | ((ids[1:, 0] == ids[:-1, 0]) & (ids[1:, 1] > ids[:-1, 1]))
            if not later.all():
                raise BrokenPromiseError(f"row ids of {chunk.entity_path!r} do not ascend")
            try:
                chunk_of(chunk)
            except CorruptionError as error:
                self.counts[f"refused: {str(error)[-80:]}"] += 1

    def write_and_read(self) -> None:
        """Let rerun-sdk write the chunks of damaged slots to a file, and read the file back."""
        waiting, self._waiting = self._waiting, []
        try:
            self._write_and_read([chunk for _, chunk in waiting])
        except (RuntimeError, BrokenPromiseError) as error:
            for number, chunk in waiting:
                try:
                    self._write_and_read([chunk])
                except (RuntimeError, BrokenPromiseError):
                    raise BrokenPromiseError(f"segment {self.seed}:{number} spoils a file: {error}") from error
            raise

    def _write_and_read(self, chunks: list[Any]) -> None:
        from rerun_mp.collector.store.rerun_files import read_file
        from rerun_mp.collector.store.rerun_sinks import open_file
        from rerun_mp.encoding.frames import RecordingKey
        from rerun_mp.errors import CorruptionError

        path = self._directory / "written.rrd"
        writer = open_file(path, RecordingKey("victim", "recording"), write_footer=True)
        sent = 0
        for chunk in chunks:
            try:
                writer.send(chunk)
                sent += 1
            except CorruptionError:
                pass
        writer.close(30.0)
        read = sum(1 for _ in read_file(path, prelude=writer.prelude))
        path.unlink()
        if read != sent:
            raise BrokenPromiseError(f"rerun-sdk took {sent} chunks, and {read} are in its file")
        self.counts["chunks written and read"] += read
        self.counts["threads at the end"] = threading.active_count()
        self.counts["native threads at the end"] = len(os.listdir("/proc/self/task"))


def limit_memory() -> None:
    """Limit the memory of this process, so that an unbounded allocation is a MemoryError."""
    # VmData counts private writable memory. It leaves out the arenas that glibc only reserves for rerun's threads.
    status = Path("/proc/self/status").read_text()
    (taken,) = (int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmData"))
    resource.setrlimit(resource.RLIMIT_DATA, (taken + ROOM_BYTES, resource.getrlimit(resource.RLIMIT_DATA)[1]))


def main() -> int:
    """Run the segments that the command line names. Returns 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description="Damage segments and let the collector drain them.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--only", help="SEED:NUMBER of one segment to run again")
    parser.add_argument("--keep-going", action="store_true", help="count failures instead of ending with the first one")
    options = parser.parse_args()
    seed, numbers = options.seed, range(options.count)
    if options.only:
        seed, number = map(int, options.only.split(":"))
        numbers = range(number, number + 1)
    with tempfile.TemporaryDirectory(prefix="rmp-fuzz-") as directory:
        # rerun-sdk logs every complaint about a damaged chunk.
        os.environ.setdefault("RUST_LOG", "off")
        os.environ.setdefault("RUST_BACKTRACE", "0")
        os.environ["XDG_RUNTIME_DIR"] = os.environ["XDG_CACHE_HOME"] = directory
        return _supervise(lambda at: _fill_and_run(Path(directory), seed, numbers, at, options.keep_going), seed)


def _supervise(run: Callable[[mmap.mmap], int], seed: int) -> int:
    """Call `run` in a child. It notes the number of its segment in shared memory, so that a crash can be named."""
    at = mmap.mmap(-1, 8)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            faulthandler.enable()
            status = run(at)
        except Exception:  # noqa: BLE001 (any failure is printed, and the child must not return into its parent's code)
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    Path(f"/dev/shm/rmp-hostile-{child}").unlink(missing_ok=True)
    if status not in (0, 1):
        number = int.from_bytes(at[:8], "little")
        print(f"segment {seed}:{number} ended the process ({status})")
        print(f"again: python -m tests.hostile.fuzz --only {seed}:{number}")
    return status


def _fill_and_run(directory: Path, seed: int, numbers: range, at: mmap.mmap, keep_going: bool) -> int:
    from tests.hostile.victims import fill

    with fill(str(directory)) as victims:
        return _run_all(Fuzzer(victims, seed, directory), numbers, at, keep_going=keep_going)


def _run_all(fuzzer: Fuzzer, numbers: range, at: mmap.mmap, *, keep_going: bool) -> int:
    begin, failed = time.monotonic(), 0
    fuzzer.write_and_read()
    limit_memory()
    for number in numbers:
        if number % 256 == 0:
            faulthandler.dump_traceback_later(HANG_SECS, exit=True)
        at[:8] = number.to_bytes(8, "little")
        try:
            fuzzer.run(number)
        except Exception as error:
            failed += 1
            print(f"segment {fuzzer.seed}:{number}: {type(error).__name__}: {error}", flush=True)
            if not keep_going:
                print(f"again: python -m tests.hostile.fuzz --only {fuzzer.seed}:{number}", flush=True)
                if len(numbers) == 1:
                    raise
                break
    faulthandler.cancel_dump_traceback_later()
    fuzzer.write_and_read()
    secs = time.monotonic() - begin
    print(
        f"{len(numbers)} segments of seed {fuzzer.seed} in {secs:.1f} s, {len(numbers) / secs:.0f}/s; {failed} failed"
    )
    print("\n".join(f"  {count:>9} {what}" for what, count in fuzzer.counts.most_common()))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
