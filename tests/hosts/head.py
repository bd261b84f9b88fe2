"""A head on a host of the tests."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from rerun_mp.shipping.accounts import NodeAccount, node_accounts
from tests.harness.hosts import Host
from tests.harness.programs import wait_until
from tests.harness.recordings import RERUN_BINARY, count_rows

__all__ = ["Head"]

TOKEN = "secret of the test"


class Head:
    """A head on a host, over a directory that outlives it."""

    environment: Mapping[str, str] = {"RERUN_MP_HEAD": "rerun+http://host1:9876/proxy", "RERUN_MP_HEAD_TOKEN": TOKEN}
    """What the job's ranks have."""

    def __init__(self, host: Host, directory: Path, env: Mapping[str, str] | None = None) -> None:
        self.host = host
        self.directory = directory
        self._environment = {"RERUN_MP_HEAD_TOKEN": TOKEN, **(env or {})}
        self.start()

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self.directory.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "rerun_mp", "head", "--dir", str(self.directory), "--bind", "0.0.0.0"]
        self.program = self.host.start(*command, env=self._environment)
        wait_until(lambda: "export" in self.program.stdout, what="the head")

    def end(self) -> None:
        """Kill the head and its live view."""
        self._signal(signal.SIGKILL)
        self.program.wait()

    def freeze(self) -> None:
        """Stop the receiver and the live view, as a machine that swaps."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Continue them."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        for pid in self.host.processes("serve-grpc") + self.host.processes("rerun_mp head"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def nodes(self) -> list[NodeAccount]:
        """Return what the head knows of its nodes."""
        return node_accounts(self.directory)

    def merge(self, merged: Path) -> Path:
        """Merge all parts of all nodes, which must be of one recording, and return the path of the file."""
        parts = sorted(self.directory.glob("*/*/*.rrd"))
        assert len({path.parents[1] for path in parts}) == 1, "one recording"
        subprocess.run([RERUN_BINARY, "rrd", "merge", *parts, "-o", merged], check=True, capture_output=True)
        return merged

    def rows(self, merged: Path) -> Counter[str]:
        """Merge all parts of all nodes, and return the number of rows of each rank. Each row must be there once."""
        return count_rows(self.merge(merged), timeline="step", below="rank/")
