"""A process of the collector finds its segment under either of its names, and only the one with its nonce."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rerun_mp.collector.starting import find_segment
from rerun_mp.shm.layout import Geometry
from rerun_mp.shm.segment import Segment
from tests.harness.programs import ROOT
from tests.harness.segments import new_segment


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Segment]:
    """Make a segment without a collector."""
    with new_segment(tmp_path, Geometry(4096, 8, 4)) as own:
        yield own


def test_a_segment_is_found_before_and_while_its_session_ends(made: Segment) -> None:
    nonce = made.nonce.hex()
    found = find_segment(made.path, nonce)
    assert found is not None
    assert found.nonce == made.nonce
    os.rename(made.path, made.ending_path)
    found = find_segment(made.path, nonce)
    assert found is not None
    assert found.path == made.ending_path
    os.unlink(made.ending_path)
    assert find_segment(made.path, nonce) is None


def test_a_segment_of_another_session_is_not_taken(made: Segment) -> None:
    assert find_segment(made.path, os.urandom(16).hex()) is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_that_ask_for_an_end_only_wake(number: signal.Signals) -> None:
    code = f"""
import signal
from rerun_mp.collector.starting import outlive_signals
outlive_signals()
signal.raise_signal({int(number)})
print("alive")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "alive\n"
