"""Logs images in a loop, and asserts that the process holds spare slots and gives them back."""

from __future__ import annotations

import os
import signal
import sys
import time

import numpy as np

import rerun_mp as rr
from rerun_mp.session import current
from rerun_mp.shm.layout import SlotState

rr.init("app")
rr.save(sys.argv[1])
image = rr.Image(np.zeros((480, 640, 3), np.uint8))
session = current.session()
assert session is not None


def held() -> int:
    """Return the number of slots that producers hold open."""
    assert session is not None
    return sum(state & 0xFF == SlotState.OPEN for state in session.segment.ring.states.tolist())


def wait_until_none() -> None:
    """Wait until the collector has freed what it has stored. The test's time limit ends a wait in vain."""
    while held():
        time.sleep(0.001)


for _ in range(5):
    rr.log("image", image)
assert held() > 0, "a loop has slots claimed ahead"
session.seal()
wait_until_none()
child = os.fork()
if child == 0:
    rr.log("child", image)
    os.kill(os.getpid(), signal.SIGKILL)
os.waitpid(child, 0)
wait_until_none()
rr.log("image", image)
rr.disconnect()
