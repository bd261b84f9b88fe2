"""A user's program: a signal handler forks in the middle of `log`. Usage: forking_in_a_handler.py FILE.

Prints how many of the parent's calls returned, and how many children there were.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

import rerun_mp as rr

rr.init("rerun_mp_signals")
rr.save(sys.argv[1])
one, two = rr.Scalars(1.0), rr.Scalars(2.0)
rr.log("warm", one)
CHILDREN = 150
is_child = False
children: list[int] = []


def handler(_number: int, _frame: FrameType | None) -> None:
    # Both processes go on with the interrupted call.
    global is_child
    if len(children) == CHILDREN:
        return  # the signal came when the loop had ended
    child = os.fork()
    if child == 0:
        is_child = True
    else:
        children.append(child)
        signal.setitimer(signal.ITIMER_REAL, 0.001 + 0.00001 * len(children))


signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.01)
returned = 0
while len(children) < CHILDREN and not is_child:
    rr.log("parent", one)
    returned += 1
if is_child:
    # The interrupted call has returned in this process too.
    for _ in range(3):
        rr.log(f"child/{os.getpid()}", two)
    os._exit(0)
signal.setitimer(signal.ITIMER_REAL, 0)
for child in children:
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, child
print(returned, len(children))
