"""Recovers what the killed programs of an episode have left, and kills recoveries on their way."""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path

from tests.harness.programs import COMMAND, Program, wait_until
from tests.harness.sessions import SessionWatch

__all__ = ["kill_recoveries", "recover"]

MAX_DELAY_SECS = 0.4
"""Maximum seconds from the start of that collector to the kill. A whole recovery takes about as long."""


def recover(directory: Path, environment: dict[str, str], timeout_secs: float) -> None:
    """Do what `rerun-mp recover` does, and wait for its end."""
    _command(directory, environment).wait(timeout_secs=timeout_secs).check()


def kill_recoveries(
    directory: Path, environment: dict[str, str], watch: SessionWatch, choose: random.Random
) -> Counter[str]:
    """Begin to recover a session up to three times, and kill each attempt. Returns what was killed.

    The session's collectors, one of them, the command, or everything is killed. A later attempt may find the collector
    of an earlier one at work.
    """
    faults: Counter[str] = Counter()
    for _ in range(choose.choice((0, 1, 1, 2, 3))):
        roles = choose.choice(((), ("worker",), ("guard",), ("guard", "worker"), ("guard", "worker")))
        is_command = not roles or choose.random() < 0.5
        delay = choose.uniform(0.0, MAX_DELAY_SECS)
        command = _command(directory, environment)
        try:
            faults += _harm(command, watch, roles, delay, is_command=is_command)
        finally:
            command.end()
    return faults


def _harm(
    command: Program, watch: SessionWatch, roles: tuple[str, ...], delay: float, *, is_command: bool
) -> Counter[str]:
    """Kill a recovery's command, its collector, or both, some time after the collector has started."""
    wait_until(lambda: _is_collecting(watch) or command.process.poll() is not None, what="a recovery's collector")
    if not _is_collecting(watch):
        return Counter()
    time.sleep(delay)
    faults: Counter[str] = Counter()
    if is_command:
        command.end()
        faults["recovery's command killed"] += 1
    if roles:
        watch.kill_running(*roles)
        faults[f"recovery's {'+'.join(roles)} killed"] += 1
    return faults


def _is_collecting(watch: SessionWatch) -> bool:
    return any(watch.collectors().values())


def _command(directory: Path, environment: dict[str, str]) -> Program:
    return Program(COMMAND, "recover", "--quiet", directory=directory, env=environment, fresh=True)
