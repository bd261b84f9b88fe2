"""The tables that `rerun-mp` prints."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psutil
from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from rerun_mp.cli.doctor import Check
    from rerun_mp.monitoring.overview import Process, SessionView
    from rerun_mp.session.sink_status import SinkStatus

__all__ = ["Rates", "checks", "duration", "overview"]

MAX_ENDED = 5
"""Maximum number of ended processes in a table, the latest; one line sums up the others."""
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
    parts += [Text(f"! {problem}", style="red") for problem in problems]
    return Group(*parts)


def checks(found: Sequence[Check]) -> RenderableType:
    """Return the doctor's checks as a table."""
    table = Table(box=None, padding=(0, 1), show_header=False)
    for column in ("verdict", "name"):
        table.add_column(column, no_wrap=True)
    table.add_column("found", overflow="fold")
    for check in found:
        mark, style = VERDICTS[check.verdict]
        table.add_row(Text(mark, style=style), check.name, check.found)
        if check.advice:
            table.add_row("", "", Text(f"→ {check.advice}", style=style))
    return table


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
        (" + waiting ", "dim"),
        f"{view.waiting:,}",
        (" + dropped ", "dim"),
        _dropped(view),
    )
    parts: list[RenderableType] = [line, ring, rows]
    if view.state in ADVICE:
        parts.append(Text(f"  {ADVICE[view.state]}", style="yellow"))
    return Group(*parts)


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
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), expand=False)
    table.add_column("pid", justify="right")
    table.add_column("process")
    for column in ("rows", "stored", "waiting", "dropped", "rows/s", "blocked"):
        table.add_column(column, justify="right")
    ended = [process for process in view.processes if not process.is_live]
    hidden, shown = ended[:-MAX_ENDED], ended[-MAX_ENDED:]
    silent = set(view.participants) - {process.pid for process in view.processes if process.is_live}
    for process in [*(process for process in view.processes if process.is_live), *shown]:
        rate = rates.of(view, process) if process.is_live else None
        table.add_row(
            str(process.pid),
            process.name if process.is_live else f"{process.name} (ended)",
            f"{process.logged:,}",
            f"{process.stored:,}",
            f"{process.waiting:,}",
            f"{process.dropped:,}",
            "" if rate is None else f"{rate:,.0f}",
            f"{process.blocked_secs:.1f} s" if process.blocked_secs >= 0.05 else "",
            style="" if process.is_live else "dim",
        )
    if hidden:
        table.add_row(
            "",
            f"{len(hidden):,} more (ended)",
            f"{sum(process.logged for process in hidden):,}",
            f"{sum(process.stored for process in hidden):,}",
            "0",
            f"{sum(process.dropped for process in hidden):,}",
            style="dim",
        )
    for pid in sorted(silent):
        table.add_row(str(pid), f"{_program(pid)} (has not logged)", "0", style="dim")
    return table


def _program(pid: int) -> str:
    try:
        return psutil.Process(pid).name()
    except psutil.Error:
        return "?"


def _sinks(sinks: Sequence[SinkStatus]) -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), expand=False)
    table.add_column("sink", overflow="fold")
    table.add_column("recording")
    table.add_column("state", no_wrap=True)
    table.add_column("acknowledged", justify="right")
    table.add_column("behind", justify="right")
    for sink in sinks:
        state = Text.assemble(
            (sink.state, STATES[sink.state]), (f" for {duration(time.time() - sink.since_ns / 1e9)}", "dim")
        )
        behind = f"{sink.behind_rows:,} rows" if sink.behind_rows else ""
        acknowledged = "" if sink.acknowledged_rows is None else f"{sink.acknowledged_rows:,} rows"
        table.add_row(sink.target, sink.application_id, state, acknowledged, behind)
    removed = [
        Text(f"  {sink.target}: {sink.removed_rows:,} rows of old parts removed, as its rotation says", style="dim")
        for sink in sinks
        if sink.removed_rows
    ]
    failures = [Text(f"  ! {sink.target}: {sink.failure}", style="red") for sink in sinks if sink.failure]
    return Group(table, *removed, *failures)
