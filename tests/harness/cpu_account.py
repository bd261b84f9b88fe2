"""Tells how many seconds of processor time each test costs, with all processes that it starts.

`pytest -n 2 --cpu=40` prints the forty tests that cost most, and the sum of each folder. Unlike durations, these
numbers hardly depend on what else the machine does. They are taken inside the process namespace of a worker of
`pytest -n` (`isolation`), where nothing else runs: each process counts itself and the children that it has waited
for. So the preloaded interpreters, detached collectors and killed programs count, too.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest

__all__ = ["CpuAccount", "cpu_secs"]

PROPERTY = "cpu_secs"
TICKS_PER_SEC = os.sysconf("SC_CLK_TCK")
UTIME = 11
"""Place of the first of four times (own and of ended children, in user and system mode) behind a process's name."""


def cpu_secs() -> float:
    """Return the seconds of processor time of all processes in this process namespace, ended ones included."""
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:  # it has just ended; its parent counts it from now on
            continue
        ticks += sum(map(int, fields[UTIME : UTIME + 4]))
    return ticks / TICKS_PER_SEC


class CpuAccount:
    """A plugin of pytest. In a worker it measures; where the reports arrive it adds up."""

    def __init__(self, shown: int) -> None:
        self._shown = shown
        self._secs: dict[str, float] = {}
        self._before = 0.0

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self) -> Generator[None, object, object]:
        """Note the time before a test's first fixture."""
        self._before = cpu_secs()
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Add the time of the whole test to the report of its end."""
        report = yield
        if call.when == "teardown" and "PYTEST_XDIST_WORKER" in os.environ:
            report.user_properties = [*report.user_properties, (PROPERTY, cpu_secs() - self._before)]
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Collect the time of a test."""
        for name, value in report.user_properties:
            if name == PROPERTY:
                self._secs[report.nodeid] = float(str(value))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the tests that cost most, and the sums."""
        write = terminalreporter.write_line
        terminalreporter.section("seconds of processor time")
        if not self._secs:
            write("only known with -n, where the user may create namespaces")
            return
        folders: dict[str, float] = {}
        for test, secs in self._secs.items():
            folder = str(Path(test.partition("::")[0]).parent)
            folders[folder] = folders.get(folder, 0.0) + secs
        for sums, shown in ((self._secs, self._shown), (folders, None)):
            for name in sorted(sums, key=lambda name: -sums[name])[:shown]:
                write(f"{sums[name]:8.2f} {name}")
        write(f"{sum(self._secs.values()):8.2f} all {len(self._secs)} tests")
