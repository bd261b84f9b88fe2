"""The collector's log takes one line a message, and a full disk costs the line only."""

from __future__ import annotations

import os

import pytest

from rerun_mp.collector.messages import say


def test_a_message_is_a_line_on_the_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    say("the disk is slow")
    say("äöü")
    assert capfd.readouterr().err == "the disk is slow\näöü\n"


def test_a_message_that_cannot_be_written_is_lost(capfd: pytest.CaptureFixture[str]) -> None:
    own = os.dup(2)
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        os.dup2(full, 2)
        say("lost")
    finally:
        os.dup2(own, 2)
        os.close(own)
        os.close(full)
    say("kept")
    assert capfd.readouterr().err == "kept\n"
