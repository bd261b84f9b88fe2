"""Descriptors that hold a lock for a moment are never open in a forked child."""

from __future__ import annotations

import os
import threading
from io import FileIO

from rerun_mp.shm.transient import close_in_children, no_forks
from tests.conftest import RunPython


def test_a_fork_waits_for_transient_descriptors() -> None:
    """A descriptor that holds a slot's lock for a moment is never open in a child that another thread forks."""
    opened, may_close = threading.Event(), threading.Event()

    def hold() -> None:
        with no_forks(), FileIO("/dev/null") as file:
            descriptor = close_in_children(file)
            numbers.append(descriptor)
            opened.set()
            may_close.wait()

    numbers: list[int] = []
    thread = threading.Thread(target=hold)
    thread.start()
    opened.wait()
    threading.Timer(0.05, may_close.set).start()
    child = os.fork()
    if child == 0:
        try:
            os.fstat(numbers[0])
        except OSError:
            os._exit(0)
        os._exit(1)
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_child_forked_in_the_middle_closes_them() -> None:
    """The same thread forks, as a signal handler would: the child closes what it must not keep, once."""
    with no_forks(), FileIO("/dev/null") as file:
        descriptor = close_in_children(file)
        child = os.fork()
        if child == 0:
            try:
                os.fstat(descriptor)
            except OSError:
                os._exit(0)
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_claim_at_the_end_of_the_interpreter_waits_for_no_frozen_thread(run_python: RunPython) -> None:
    """Finalisation freezes a daemon thread in the middle of a claim. Then a `__del__` method claims."""
    done = run_python(
        """
        import os
        import sys
        import threading
        import types
        from rerun_mp.shm.transient import no_forks

        class Late:
            def __del__(self, no_forks=no_forks, write=os.write):  # the module's names are gone by then
                with no_forks():
                    write(1, b"claimed")

        def hold():
            with no_forks():
                holds.set()
                threading.Event().wait()

        # The frozen thread keeps the names of this module, and Python frees those of the other one.
        sys.modules["another"] = types.ModuleType("another")
        sys.modules["another"].late = Late()
        holds = threading.Event()
        threading.Thread(target=hold, daemon=True).start()
        holds.wait()
        """,
        timeout=30.0,
    )
    assert done.check().stdout == "claimed"
