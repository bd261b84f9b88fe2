"""The file of sink statuses is written when one has changed, and again after a disk was full."""

from __future__ import annotations

from typing import Any

import pytest

from rerun_mp.collector.reporting import sink_statuses
from rerun_mp.collector.reporting.sink_statuses import MIN_INTERVAL, SinkStatuses
from rerun_mp.session.sink_status import SinkStatus

STATUS = SinkStatus("app", "recording", "file", "/a.rrd", "writing", 1, 0, 0, 0, None)


class Sinks:
    """Stands for the outputs of a session: only the statuses of its sinks."""

    def __init__(self) -> None:
        self.statuses = [STATUS]

    def sinks(self) -> list[SinkStatus]:
        """Return the status of each sink."""
        return self.statuses


def test_statuses_are_written_when_they_have_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[list[SinkStatus]] = []
    now = 100.0
    is_full = True

    def write(_: object, statuses: list[SinkStatus]) -> None:
        if is_full:
            raise OSError("no space")
        written.append(statuses)

    monkeypatch.setattr(sink_statuses, "write_sinks", write)
    monkeypatch.setattr("time.monotonic", lambda: now)
    sinks: Any = Sinks()
    tested = SinkStatuses(None, sinks)  # type: ignore[arg-type]
    tested.write_if_changed()
    is_full = False
    tested.write_if_changed()
    assert written == [], "the interval has not passed"
    for _ in range(2):
        now += MIN_INTERVAL
        tested.write_if_changed()
    assert written == [[STATUS]], "once after the disk was full, and not again without a change"
    sinks.statuses = [STATUS._replace(state="resting")]
    now += MIN_INTERVAL
    tested.write_if_changed()
    assert written[1:] == [sinks.statuses]
