"""The tables that `rerun-mp` prints.

A name or command line of a user's goes through `_shown`: it may hold control characters, or rich's own markup.
"""

from __future__ import annotations

import os
import shlex
import time
from typing import TYPE_CHECKING

import psutil
from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from rerun_mp.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import RenderableType

    from rerun_mp.cli.doctor import Check
    from rerun_mp.cli.runs import Run
    from rerun_mp.monitoring.overview import Process, SessionView
    from rerun_mp.session.sink_status import SinkStatus

__all__ = ["Rates", "checks", "duration", "overview", "runs"]

MAX_ENDED = 5
"""Maximum number of ended processes in a table, the latest; one line sums up the others."""
MIN_BLOCKED_SECS = 0.05
"""Shorter waits for space are not shown."""
STATES = {
    "live": "green",
    "no collector": "bold red",
    "ending": "yellow",
    "left": "bold red",
    "writing": "green",
    "connected": "green",
    "resting": "green",
    "diverted": "bold red",
    "retrying": "yellow",
    "stalled": "yellow",
    "closed": "dim",
}
VERDICTS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "problem": ("✗", "bold red")}
ADVICE = {
    "no collector": "no collector drains the ring; the next process that logs or waits starts one",
    "left": "all its processes are dead; bring its rows into their files: rerun-mp recover",
}


class Rates:
    """Rows a second, computed from two looks at the same sessions."""

    def __init__(self) -> None:
        self._before: dict[tuple[str, int, int], tuple[int, int]] = {}
        self._now: dict[tuple[str, int, int], tuple[int, int]] = {}

    def note(self, views: Sequence[SessionView]) -> None:
        """Remember the row counts of a look; the look before becomes the base of the rates."""
        self._before = self._now
        self._now = {
            (view.name, process.pid, process.started_ns): (view.taken_ns, process.logged)
            for view in views
            for process in view.processes
        }

    def of(self, view: SessionView, process: Process) -> float | None:
        """Return the rate of a process; None if only one look has seen it."""
        key = (view.name, process.pid, process.started_ns)
        if key not in self._before or key not in self._now:
            return None
        (then, rows_then), (now, rows_now) = self._before[key], self._now[key]
        return max(0, rows_now - rows_then) / max((now - then) / 1e9, 1e-3)

    def total(self, view: SessionView) -> float | None:
        """Return the summed rate of a session's processes; None before the second look."""
        rates = [rate for process in view.processes if (rate := self.of(view, process)) is not None]
        return sum(rates) if rates else None


def overview(views: Sequence[SessionView], rates: Rates, problems: Sequence[str] = ()) -> RenderableType:
    """Return all sessions as tables."""
    parts: list[RenderableType] = []
    for view in views:
        parts += [_head(view, rates), _processes(view, rates)]
        if view.sinks:
            parts.append(_sinks(view.sinks))
        parts.append(Text())
    if not views:
        parts.append(Text("no sessions: no process is logging with rerun_mp", style="dim"))
    parts += [_shown(f"! {problem}", "red") for problem in problems]
    return Group(*parts)


def checks(found: Sequence[Check]) -> RenderableType:
    """Return the doctor's checks as a table, and below it the settings as another one."""
    settings = [check for check in found if check.is_setting]
    parts: list[RenderableType] = [_check_table([check for check in found if not check.is_setting])]
    if settings:
        parts += [Text(), Text("settings", style="bold"), _check_table(settings)]
    return Group(*parts)


def _check_table(found: Sequence[Check]) -> Table:
    table = Table(box=None, padding=(0, 1), show_header=False)
    for column in ("verdict", "name"):
        table.add_column(column, no_wrap=True)
    table.add_column("found", overflow="fold")
    for check in found:
        mark, style = (" ", "") if check.is_setting and check.verdict == "ok" else VERDICTS[check.verdict]
        table.add_row(Text(mark, style=style), check.name, _shown(check.found))
        if check.advice:
            table.add_row("", "", _shown(f"→ {check.advice}", style))
    return table


def _shown(text: str, style: str = "") -> Text:
    """Return a text that may hold what a user wrote."""
    return Text(printable(text), style=style)


def duration(secs: float) -> str:
    """Return a duration in its largest unit, such as "3 h"."""
    for length, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if secs >= 2 * length:
            return f"{secs / length:.0f} {unit}"
    return f"{secs:.0f} s"


def _head(view: SessionView, rates: Rates) -> RenderableType:
    line = Text.assemble(
        ("session ", "dim"),
        (view.name, "bold"),
        "  ",
        (view.state, STATES[view.state]),
        (f", for {duration((view.taken_ns - view.created_ns) / 1e9)}", "dim"),
        ("  collector ", "dim"),
        _collector(view),
    )
    rate = rates.total(view)
    ring = Text.assemble(
        ("  ring ", "dim"),
        _bar(view.used_slots, view.slots),
        f" {view.used_slots}/{view.slots} slots of {view.slot_bytes // 1024} KiB",
        ("   rows/s ", "dim"),
        "-" if rate is None else f"{rate:,.0f}",
    )
    rows = Text.assemble(
        ("  rows ", "dim"),
        f"{view.logged:,}",
        (" = stored ", "dim"),
        f"{view.stored:,}",
        Text.assemble((" + held back ", "dim"), f"{view.held_back:,}") if view.held_back else "",
        (" + waiting ", "dim"),
        f"{view.waiting:,}",
        (" + dropped ", "dim"),
        _dropped(view),
    )
    parts: list[RenderableType] = [line, *_program_line(view), ring, rows]
    if view.state in ADVICE:
        parts.append(Text(f"  {ADVICE[view.state]}", style="yellow"))
    return Group(*parts)


def _program_line(view: SessionView) -> list[Text]:
    """Return what the user started, where, and as whom."""
    if view.program is None:
        return []
    command = Text(f"  {printable(shlex.join(view.program.command))}", no_wrap=True, overflow="ellipsis")
    directory = printable(view.program.directory)
    return [command, Text.assemble(("  in ", "dim"), directory, (" as ", "dim"), view.program.user)]


def _collector(view: SessionView) -> Text:
    collector = view.collector
    if not (collector.is_worker_live or collector.is_guard_live):
        return Text("dead", style="bold red")
    restarts = f", restarted {collector.lives - 1} times" if collector.lives > 1 else ""
    worker = f"worker {collector.worker_pid}" if collector.is_worker_live else "worker starting"
    return Text(f"guard {collector.guard_pid}, {worker}{restarts}")


def _dropped(view: SessionView) -> Text:
    total = sum(view.dropped.values())
    if not total:
        return Text("0")
    reasons = ", ".join(f"{rows:,} {reason}" for reason, rows in view.dropped.items())
    return Text(f"{total:,} ({reasons})", style="bold red")


def _bar(part: int, whole: int) -> Text:
    width = 12
    filled = round(width * part / whole) if whole else 0
    style = "red" if part * 4 > whole * 3 else "yellow" if part * 2 > whole else "green"
    return Text("█" * filled + "░" * (width - filled), style=style)


def _processes(view: SessionView, rates: Rates) -> RenderableType:
    is_blocked = any(process.blocked_secs >= MIN_BLOCKED_SECS for process in view.processes)
    is_dropped = any(process.dropped for process in view.processes)
    is_held_back = any(process.held_back for process in view.processes)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), expand=False)
    table.add_column("pid", justify="right", no_wrap=True)
    table.add_column("process", overflow="ellipsis", no_wrap=True)
    columns = ["rows", "stored", *["held back"] * is_held_back, "waiting", *["dropped"] * is_dropped, "rows/s"]
    columns += ["blocked"] * is_blocked
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)

    def add(pid: str, name: str, cells: dict[str, str], style: str) -> None:
        table.add_row(pid, _shown(name), *(cells.get(column, "") for column in columns), style=style)

    ended = [process for process in view.processes if not process.is_live]
    hidden, shown = ended[:-MAX_ENDED], ended[-MAX_ENDED:]
    for process in [*(process for process in view.processes if process.is_live), *shown]:
        rate = rates.of(view, process) if process.is_live else None
        cells = {
            **_sums([process]),
            "rows/s": "" if rate is None else f"{rate:,.0f}",
            "blocked": f"{process.blocked_secs:.1f} s" if process.blocked_secs >= MIN_BLOCKED_SECS else "",
        }
        name = process.name if process.is_live else f"{process.name} (ended)"
        add(str(process.pid), name, cells, "" if process.is_live else "dim")
    if hidden:
        add("", f"{len(hidden):,} more (ended)", _sums(hidden), "dim")
    for pid in sorted(set(view.participants) - {process.pid for process in view.processes if process.is_live}):
        add(str(pid), f"{_program(pid)} (has not logged)", {"rows": "0"}, "dim")
    return table


def _sums(processes: Sequence[Process]) -> dict[str, str]:
    return {
        "rows": f"{sum(process.logged for process in processes):,}",
        "stored": f"{sum(process.stored for process in processes):,}",
        "held back": f"{sum(process.held_back for process in processes):,}",
        "waiting": f"{sum(process.waiting for process in processes):,}",
        "dropped": f"{sum(process.dropped for process in processes):,}",
    }


def _program(pid: int) -> str:
    try:
        return psutil.Process(pid).name()
    except psutil.Error:
        return "?"


def _sinks(sinks: Sequence[SinkStatus]) -> RenderableType:
    is_live = any(sink.acknowledged_rows is not None or sink.behind_rows for sink in sinks)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), expand=False)
    table.add_column("sink", overflow="fold")
    table.add_column("recording", overflow="ellipsis", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for column in ("acknowledged", "behind") if is_live else ():
        table.add_column(column, justify="right", no_wrap=True)
    for sink in sinks:
        state = Text.assemble(
            (sink.state, STATES[sink.state]), (f" for {duration(time.time() - sink.since_ns / 1e9)}", "dim")
        )
        behind = f"{sink.behind_rows:,} rows" if sink.behind_rows else ""
        acknowledged = "" if sink.acknowledged_rows is None else f"{sink.acknowledged_rows:,} rows"
        table.add_row(
            _shown(sink.target), _shown(sink.application_id), state, *((acknowledged, behind) if is_live else ())
        )
    removed = [
        _shown(f"  {sink.target}: {sink.removed_rows:,} rows of old parts removed, as its rotation says", "dim")
        for sink in sinks
        if sink.removed_rows
    ]
    removed += [
        _shown(f"  {sink.target}: {sink.held_rows:,} rows held back by its rules", "dim")
        for sink in sinks
        if sink.held_rows
    ]
    failures = [_shown(f"  ! {sink.target}: {sink.failure}", "red") for sink in sinks if sink.failure]
    return Group(table, *removed, *failures)


def runs(found: Sequence[Run], directory: Path) -> RenderableType:
    """Return recordings as a table. Lines below it name unreadable files and killed processes."""
    if not found:
        return _shown(f"no .rrd files in {directory}", "dim")
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), collapse_padding=True, pad_edge=False)
    table.add_column("file", overflow="fold", min_width=10)
    table.add_column("application", overflow="ellipsis", no_wrap=True)
    for column in ("started", "took", "rows", "entities"):
        table.add_column(column, justify="right" if column in ("rows", "entities") else "left", no_wrap=True)
    table.add_column("ended", no_wrap=True, min_width=len("unreadable"))
    for run in found:
        style = "red" if run.failure else "yellow" if run.ended != "complete" else "green"
        table.add_row(
            _shown(os.path.relpath(run.path, directory)),
            _shown(run.application),
            "" if run.started_ns is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(run.started_ns / 1e9)),
            "" if run.duration_secs is None else duration(run.duration_secs),
            f"{run.rows:,}",
            f"{run.entities:,}",
            Text(run.ended, style=style),
        )
    notes = [
        _shown(f"  ! {os.path.relpath(run.path, directory)}: {text}", "red")
        for run in found
        for text in (*run.crashes, *([run.failure] if run.failure else []))
    ]
    return Group(table, *notes)
