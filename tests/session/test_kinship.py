"""Facts about processes: exec keeps the start and changes the program's mark, and a fork does the reverse."""

from __future__ import annotations

import os
import subprocess
import sys

from rerun_mp.session.kinship import (
    ancestors,
    boot_id,
    environment_of,
    program_mark,
    segment_inodes,
    start_ticks,
    ticks_now,
    uses_segment,
)

NOBODY = 1 << 30
"""A process id that the kernel never gives."""


def test_a_forked_child_shares_its_parents_mark_and_not_its_start() -> None:
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        os.write(writer, f"{program_mark()} {next(ancestors(os.getpid()))}".encode())
        os._exit(0)
    os.waitpid(pid, 0)
    mark, parent = os.read(reader, 100).split()
    assert int(mark) == program_mark() != 0
    assert int(parent) == os.getpid()


def test_a_process_that_calls_exec_keeps_its_start_and_gets_another_mark() -> None:
    code = "import os; from rerun_mp.session.kinship import *; print(program_mark(), start_ticks(os.getpid()))"
    again = f"import os, sys; {code}; sys.stdout.flush(); os.execv(sys.executable, [sys.executable, '-c', {code!r}])"
    printed = subprocess.run([sys.executable, "-c", again], check=True, capture_output=True, text=True).stdout.split()
    (first, start), (second, same_start) = printed[:2], printed[2:]
    assert len({first, second, str(program_mark())}) == 3
    assert start == same_start
    assert start_ticks(os.getpid()) <= int(start) <= ticks_now()


def test_the_environment_is_that_of_the_exec() -> None:
    environment = {**os.environ, "RERUN_MP_TEST": "a=b"}
    code = "import os; os.environ['RERUN_MP_TEST'] = ''; print(flush=True); input()"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], env=environment, stdin=pipe, stdout=pipe) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert environment_of(child.pid)["RERUN_MP_TEST"] == "a=b"
        child.communicate(b"\n")


def test_facts_about_no_process_are_empty() -> None:
    assert (start_ticks(NOBODY), program_mark(NOBODY), environment_of(NOBODY), list(ancestors(NOBODY))) == (
        0,
        0,
        {},
        [],
    )
    assert not uses_segment(NOBODY, segment_inodes())
    assert len(boot_id()) == 36
