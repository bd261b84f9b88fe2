"""Facts about processes: exec keeps the start and changes the program's mark, and a fork does the reverse."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from rerun_mp.session import identity
from rerun_mp.session.kinship import (
    ancestors,
    boot_id,
    environment_of,
    forked_from,
    program_mark,
    segment_inodes,
    start_ticks,
    ticks_now,
    uses_segment,
)

NOBODY_USER = 65534
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


def test_a_started_program_was_not_forked_also_without_random_addresses() -> None:
    """Both are the same program, with arguments of the same length, so all addresses are equal."""
    code = (
        "import subprocess, sys; from rerun_mp.session.kinship import forked_from, program_mark\n"
        "print(program_mark(), forked_from(), flush=True)\n"
        "if sys.argv[1] == '1': subprocess.run([sys.executable, '-c', sys.orig_argv[2], '2'], check=True)\n"
    )
    command = ["setarch", "-R", sys.executable, "-c", code, "1"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    (mark, _), (same_mark, forker) = (line.split() for line in done.stdout.splitlines())
    assert mark == same_mark
    assert forker == "0"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change its user")
def test_workers_that_have_changed_their_user_know_their_forker_and_have_one_key() -> None:
    """The kernel hides from them what it shows of a process to its user."""

    def key_of_another_user() -> str:
        os.setgid(NOBODY_USER)
        os.setuid(NOBODY_USER)
        return f"{program_mark()} {forked_from()} {identity._draw().key.hex()}"

    first, second = _in_child(key_of_another_user), _in_child(key_of_another_user)
    assert first == second
    assert first.split()[:2] == ["0", str(os.getpid())]


def _in_child(function: Callable[[], object]) -> str:
    """Return what a function returns in a forked child."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.write(writer, str(function()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader) as pipe:
        found = pipe.read()
    os.waitpid(pid, 0)
    return found


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
