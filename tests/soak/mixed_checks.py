"""What the files and servers of a mixed episode must have, and the comparison with what they have."""

from __future__ import annotations

import os
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rerun_mp.session.rotation import PartList, existing_parts, read_part_list
from tests.harness.recordings import ROW_ID, verify
from tests.harness.rerun_names import RrdReader
from tests.harness.servers import Server

__all__ = ["Checks", "Content", "Found", "Snapshot", "Target", "read"]

OWN = ("/__properties", "/__rerun_mp", "__properties", "__rerun_mp")
"""Beginnings of the entity paths of rows that the player does not log with a number."""
SERVER_SECS = 20.0


@dataclass
class Content:
    """What a file must have of one recording."""

    sure: set[int] = field(default_factory=set)
    maybe: set[int] = field(default_factory=set)
    """Rows of interrupted calls, and rows that may also be elsewhere."""
    statics: dict[int, str] = field(default_factory=dict)
    """Static rows: number -> entity."""
    rules: bool = False
    entities: dict[int, str] = field(default_factory=dict)


@dataclass
class Target:
    """A file or server that a process has set as a sink."""

    kind: str
    name: str
    """Path, or URL."""
    rec: str
    """The recording that is logged."""
    owner: str
    content: Content
    rotate: dict[str, Any] | None = None
    mode: str = "new"
    rules: bool = False
    is_whole: bool = True
    checkpoints: int = 0
    since: int = 0
    """Number of the processes that had been started when it was set."""
    before: frozenset[int] = frozenset()
    """Rows of earlier files at the path."""
    lives: int = 0
    """Number of workers that the collector had had before it was set."""


@dataclass
class Found:
    """The rows of one recording in a file."""

    rows: Counter[int] = field(default_factory=Counter)
    statics: Counter[int] = field(default_factory=Counter)
    ids: Counter[bytes] = field(default_factory=Counter)
    entities: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Row -> the entities under which it is there."""

    @property
    def numbers(self) -> set[int]:
        """All rows."""
        return {*self.rows, *self.statics}

    @property
    def doubles(self) -> int:
        """How often a row id occurs again."""
        return sum(count - 1 for count in self.ids.values())


def read(path: str | Path) -> dict[str, Found]:
    """Return the rows of each recording in a file."""
    reader = RrdReader(path)
    result: dict[str, Found] = {}
    for entry in reader.recordings():
        found = result.setdefault(entry.recording_id, Found())
        for chunk in reader.stream(store=entry):
            if chunk.entity_path.startswith(OWN):
                continue
            batch = chunk.to_record_batch()
            found.ids.update(batch.column(batch.schema.get_field_index(ROW_ID)).to_pylist())
            if "n" in batch.schema.names:
                numbers = [int(one) for one in batch.column("n").cast("int64").to_pylist()]
                found.rows.update(numbers)
            else:
                values = batch.column(batch.schema.get_field_index("Scalars:scalars")).to_pylist()
                numbers = [int(one[0]) for one in values]
                found.statics.update(numbers)
            for number in numbers:
                found.entities[number].add(chunk.entity_path.removeprefix("/"))
    return result


@dataclass
class Snapshot:
    """A snapshot, and the files that it may have been taken from, as they were then."""

    path: Path
    rec: str
    sources: list[tuple[Target, set[int], set[int], dict[int, str]]]
    """(file, rows that must be there, rows that may be there, static rows)."""


class Checks:
    """What an episode expects, and whether it is so. `failures` has a line for each difference."""

    def __init__(self, out: Path, log: Callable[[str], None]) -> None:
        self.out = out
        self.directories = [out]
        """Where files lie."""
        self.log = log
        self.failures: list[str] = []
        self.files: dict[str, dict[str, Content]] = {}
        """Path -> recording id -> content, in the order in the file."""
        self.replaced: dict[str, list[dict[str, Content]]] = defaultdict(list)
        """Path -> contents of files that were replaced. One of a killed run is set aside then."""
        self.rotating: dict[str, dict[str, Content]] = {}
        """The same of files that rotate."""
        self.series: dict[str, set[int]] = defaultdict(set)
        """Path of a file that rotates -> numbers of parts with which a series begins."""
        self.targets: list[Target] = []
        self.servers: list[Server] = []
        self.served: dict[tuple[str, str], list[bool]] = defaultdict(list)
        """URL and recording -> for each sink that was set, whether it had rules."""
        self.rows_of: dict[str, set[int]] = defaultdict(set)
        """Recording -> all rows that were logged."""
        self.logged: list[tuple[int, str]] = []
        """Rows of returned calls in this run."""
        self.unsure: set[int] = set()
        """Rows of calls that did not return."""
        self.properties = 0
        self.snapshots: list[Snapshot] = []

    def fail(self, message: str) -> None:
        self.log(f"FAILURE: {message}")
        self.failures.append(message)

    def check_account(self, account: dict[str, Any]) -> None:
        logged = len(self.logged)
        most = logged + len(self.unsure) + self.properties
        if not logged <= account["logged"] <= most:
            self.fail(f"{account['logged']} rows in the account, {logged} to {most} logged")
        if account["dropped"] or account["refused"]:
            self.fail(f"{account}")
        if account["logged"] != account["stored"] + account["held_back"]:
            self.fail(f"{account}")

    def check_servers(self, look: Callable[[], None]) -> None:
        """Check what the servers have. `look` lets a process of the session look whether the collector lives."""
        for one in self.targets:
            if one.kind != "grpc":
                continue
            server = next(server for server in self.servers if server.url == one.name)

            def lacking(one: Target = one, server: Server = server) -> set[int]:
                return one.content.sure - self.rows_of_server(server, one.rec)

            deadline = time.monotonic() + 20
            while lacking() and time.monotonic() < deadline:
                look()  # guard and worker may have been killed one after the other
                time.sleep(0.1)
            missing = lacking()
            if missing:
                self.fail(f"{len(missing)} rows of {one.rec} are not in the server: {sorted(missing)[:10]}")
            allowed = one.content.entities
            found = self.rows_of_server(server, one.rec)
            doubles = self.doubles_in_server(server, one.rec)
            # A sink that is set again with other rules sends what the server has from an ended one under other ids.
            if doubles and not (len(self.served[one.name, one.rec]) > 1 and any(self.served[one.name, one.rec])):
                self.fail(f"{doubles} rows of {one.rec} are in two chunks of the server")
            if one.rules:
                wrong = [number for number in found if allowed.get(number, "").startswith("cut/")]
                self.log(f"rows that the rules hold back and the server has: {wrong[:5]}")

    def rows_of_server(self, server: Server, rec: str) -> set[int]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                found = read(server.saved)
            except (RuntimeError, ValueError, OSError):
                return set()
        if rec not in found:
            return set()
        return set(found[rec].rows) | set(found[rec].statics)

    def doubles_in_server(self, server: Server, rec: str) -> int:
        chunks_by_row: dict[bytes, set[str]] = defaultdict(set)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reader = RrdReader(server.saved)
            for entry in reader.recordings():
                for chunk in reader.stream(store=entry) if entry.recording_id == rec else ():
                    batch = chunk.to_record_batch()
                    for row in batch.column(batch.schema.get_field_index(ROW_ID)).to_pylist():
                        chunks_by_row[row].add(chunk.id)
        return sum(len(ids) > 1 for ids in chunks_by_row.values())

    def check_files(self) -> None:
        for path, layers in self.files.items():
            self.check_file(path, layers)
        for path, layers in self.rotating.items():
            self.check_series(path, layers)
        for snapshot in self.snapshots:
            self.check_snapshot(snapshot)
        self.snapshots.clear()
        known = set(self.files) | {part for path in self.rotating for _, part in existing_parts(path)}
        others = [
            str(path)
            for directory in self.directories
            for path in directory.iterdir()
            if str(path) not in known and not path.name.startswith("snapshot")
        ]
        others = [path for path in others if not path.endswith(".parts.jsonl") and not self.is_aside(path)]
        if others:
            self.fail(f"unexpected files {others}")

    def is_aside(self, path: str) -> bool:
        """Whether a file holds what a killed run had at a path that a later run has replaced."""
        named, is_recovered, _ = path.partition(".recovered-")
        found = read(path) if is_recovered else {}
        return any(
            not layer.keys() - found.keys()
            and all(content.sure <= found[rec].numbers and not found[rec].doubles for rec, content in layer.items())
            for layer in self.replaced[f"{named}.rrd"]
            if is_recovered
        )

    def check_file(self, path: str, layers: dict[str, Content]) -> None:
        if not os.path.exists(path):
            if any(content.sure for content in layers.values()):
                self.fail(f"{path} is not there")
            return
        if os.path.getsize(path) == 0:
            if any(content.sure for content in layers.values()):
                self.fail(f"{path} is empty")
            return
        found = read(path)
        if any(one.ids for one in found.values()):  # `rerun rrd verify` refuses a file without rows
            self.verify(path)
        for rec in found:
            if rec not in layers:
                self.fail(f"{path} has recording {rec}: {len(found[rec].rows)} rows")
        for rec, content in layers.items():
            self.compare(f"{path} {rec}", found.get(rec, Found()), content)

    def verify(self, path: str) -> None:
        try:
            verify(path)
        except AssertionError as error:
            self.fail(str(error))

    def compare(self, name: str, found: Found, content: Content) -> None:
        rows = found.rows + found.statics
        missing = content.sure - set(rows)
        more = set(rows) - content.sure - content.maybe
        twice = [number for number, count in rows.items() if count > 1]
        if missing:
            self.fail(f"{name} lacks {len(missing)} of {len(content.sure)} rows: {self.describe(missing, content)}")
        if more:
            self.fail(f"{name} has {len(more)} rows too many: {self.describe(more, content)}")
        self.check_entities(name, found, content)
        if twice or found.doubles:
            self.fail(f"{name} has {len(twice)} rows twice, {found.doubles} row ids: {sorted(twice)[:10]}")

    def check_entities(self, name: str, found: Found, content: Content) -> None:
        """Check that each row lies under the entity to which it was logged."""
        wrong = [
            f"{number} {content.entities[number]} under {sorted(entities)}"
            for number, entities in sorted(found.entities.items())
            if number in content.entities and entities != {content.entities[number]}
        ]
        if wrong:
            self.fail(f"{name} has {len(wrong)} rows under other entities: {', '.join(wrong[:8])}")

    def describe(self, numbers: set[int], content: Content) -> str:
        return ", ".join(f"{number} {content.entities.get(number, '?')}" for number in sorted(numbers)[:8])

    def check_series(self, path: str, layers: dict[str, Content]) -> None:
        """Check the parts of a file that rotates, and its part list."""
        listed = read_part_list(path)
        absent = [part.path for part in listed.parts if not os.path.exists(part.path)]
        if absent:
            self.fail(f"the part list names {absent}, which are not there")
        whole, everything = Found(), Content()
        newest: dict[str, dict[str, int]] = {}
        for number, part in sorted(existing_parts(path)):
            in_part = read(part) if os.path.getsize(part) else {}
            if any(one.ids for one in in_part.values()):
                self.verify(part)
            if number in self.series[path]:
                newest.clear()
            for rec, found in in_part.items():
                content = layers.get(rec, Content())
                self.check_entities(part, found, content)
                newest[rec] = self.newest_statics(part, found, content, newest.get(rec, {}))
                self.check_listed(part, rec, found, set(found.statics) - set(whole.statics), listed)
                whole.rows += found.rows
                whole.statics += found.statics
                if found.doubles:
                    self.fail(f"{part} has {found.doubles} row ids twice")
        for content in layers.values():
            everything.sure |= content.sure
            everything.maybe |= content.maybe
            everything.entities |= content.entities
        self.check_sum(path, whole, everything, listed.removed_rows)

    def newest_statics(self, part: str, found: Found, content: Content, before: dict[str, int]) -> dict[str, int]:
        """Return the newest static row of each entity. A part must have those of the parts before it."""
        here = dict(before)
        for static in found.statics:
            entity = content.entities.get(static, "?")
            here[entity] = max(here.get(entity, -1), static)
        lacking = {entity: number for entity, number in here.items() if number not in found.statics}
        if lacking:
            self.fail(f"{part} lacks static rows {lacking}")
        return here

    def check_listed(self, part: str, rec: str, found: Found, fresh: set[int], listed: PartList) -> None:
        """Check the number of rows in the part list. `fresh`: static rows that are in no part before."""
        rows = found.rows.total()
        for one in listed.parts:
            if (one.path, one.recording_id) == (part, rec):
                if not rows <= one.rows <= rows + len(found.statics):
                    self.fail(f"{part} has {rows} + {len(found.statics)} rows, listed {one.rows}")
                if listed.removed_parts == 0 and one.rows != rows + len(fresh):
                    self.fail(f"{part} has {rows} + {len(fresh)} new rows, listed {one.rows}")
        if part not in {one.path for one in listed.parts}:
            self.fail(f"{part} is not in the part list")

    def check_sum(self, path: str, whole: Found, expected: Content, removed: int) -> None:
        """Check the rows of all parts together. A removed static row may still be in a later part."""
        have = set(whole.rows) | set(whole.statics)
        missing, more = expected.sure - have, have - expected.sure - expected.maybe
        twice = [number for number, count in whole.rows.items() if count > 1]
        if twice:
            self.fail(f"{path} has {len(twice)} rows twice: {sorted(twice)[:10]}")
        if more:
            self.fail(f"{path} has {len(more)} rows too many: {self.describe(more, expected)}")
        if len(missing) > removed:
            self.fail(f"{path} lacks {len(missing)} rows, {removed} removed: {self.describe(missing, expected)}")
        if removed > len(missing) + len(whole.statics) + len(expected.maybe):
            self.fail(f"{path} lacks {len(missing)} rows, {removed} removed, {len(whole.statics)} static")

    def check_snapshot(self, snapshot: Snapshot) -> None:
        """Check that a snapshot has what one of its sources had."""
        found = read(snapshot.path).get(snapshot.rec, Found()) if snapshot.path.exists() else Found()
        rows = found.rows + found.statics
        twice = [number for number, count in rows.items() if count > 1]
        reasons = [f"{snapshot.path} has rows {twice[:10]} twice" for _ in twice[:1]]
        if rows:
            self.verify(str(snapshot.path))
        for target, sure, maybe, statics in snapshot.sources:
            missing = sure - set(rows)
            more = set(rows) - sure - maybe - self.rows_of[snapshot.rec]
            newest: dict[str, int] = {}
            for number, entity in statics.items():
                newest[entity] = max(newest.get(entity, -1), number)
            if target.rotate is not None and len(missing) <= read_part_list(target.name).removed_rows:
                missing = {number for number in newest.values() if number in missing}
            if not (missing or more or twice or found.doubles):
                return
            reasons.append(
                f"{snapshot.path} of {target.name} lacks {self.describe(missing, target.content)}, and has too many: "
                f"{self.describe(more, target.content)}; {found.doubles} row ids twice"
            )
        self.fail("; ".join(reasons))
