"""Guards in the segment, its locks and its words: hazards 1, 2, 4, 10 to 13, 17, 23, 25, 28 and 29."""

from __future__ import annotations

from tests.hazards.registry import Edit, Removal

__all__ = ["REMOVALS"]

REMOVALS = (
    Removal(
        1,
        "lease-by-descriptor",
        "A lease's open file description is kept alive by a mapping, which the program cannot close.",
        (
            Edit(
                "shm/leases.py",
                "        address = kernel.map_file(descriptor, PAGE, writable=False)\n"
                "        if not inherited:\n"
                "            kernel.advise(address, PAGE, kernel.MADV_DONTFORK)\n"
                "        return cls(address)",
                "        return cls(os.dup(descriptor))",
            ),
            Edit("shm/leases.py", "            kernel.unmap(address, PAGE)", "            os.close(address)"),
        ),
        ("tests/shm/test_leases.py::test_a_lease_survives_closing_every_descriptor",),
        "assert _is_held(path)",
    ),
    Removal(
        2,
        "kept-descriptor",
        "Each claim opens the segment anew and closes it, so no descriptor number is kept.",
        (
            Edit(
                "producer/claims.py",
                '            with no_forks(), FileIO(self._segment.open(), "r+") as file:\n'
                "                locks = ClaimLocks(self._segment, close_in_children(file))\n",
                '            kept = globals().setdefault("_kept", {})\n'
                "            if self._segment.path not in kept:\n"
                "                kept[self._segment.path] = self._segment.open()\n"
                "            with no_forks():\n"
                "                locks = ClaimLocks(self._segment, kept[self._segment.path])\n",
            ),
        ),
        ("tests/faults/test_forks.py::test_a_daemonised_worker_logs_on",),
        "own.read_bytes()",
    ),
    Removal(
        4,
        "one-taken-word",
        "A sweep overwrites the older of two (sweep, taken) words. The other word still has the sweep before.",
        (
            Edit(
                "shm/ring.py",
                "        other = Line.TAKEN_A if a >> TAKEN_BITS == sweep or (a <= b and b >> TAKEN_BITS != sweep)"
                " else Line.TAKEN_B\n",
                "        other = Line.TAKEN_A\n",
            ),
        ),
        ("tests/shm/test_ring.py::test_a_sweep_counts_only_when_the_header_says_so",),
        "(0, 250) == (100, 250)",
    ),
    Removal(
        4,
        "two-stores",
        "One word, written by one store, holds a sweep's number and how far that sweep takes the slot.",
        (
            Edit(
                "shm/ring.py",
                "        self.words[line + other] = sweep << TAKEN_BITS | taken\n",
                "        self.words[line + other] = sweep << TAKEN_BITS\n        self.words[line + other] |= taken\n",
            ),
        ),
        ("tests/shm/test_ring.py::test_take_makes_one_store",),
        "would split the sweep",
    ),
    Removal(
        11,
        "visible-while-made",
        "The founder makes a segment without a name, and publishes it whole by one linkat(2).",
        (
            Edit(
                "shm/segment.py",
                "        descriptor = os.open(DIRECTORY, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)",
                "        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)\n"
                "    except FileExistsError:\n"
                "        return None",
            ),
            Edit("shm/segment.py", "            kernel.link_descriptor(descriptor, path)", "            pass"),
        ),
        ("tests/shm/test_segment.py::test_a_half_made_segment_is_invisible",),
        "half made",
    ),
    Removal(
        11,
        "joins-what-has-ended",
        "After a process has taken the participants lock, it checks that the name still leads to the same inode.",
        (
            Edit(
                "shm/segment.py",
                "            if os.stat(path, follow_symlinks=False).st_ino != inode:\n"
                "                raise FileNotFoundError\n",
                "",
            ),
        ),
        ("tests/shm/test_segment.py::test_a_session_that_ends_during_attach_cannot_be_joined",),
        "assert <rerun_mp.shm.segment.Segment object",
    ),
    Removal(
        11,
        "joins-what-is-ending",
        "Joining needs the participants lock, which an ending session's collector holds exclusively.",
        (
            Edit(
                "shm/segment.py",
                "        if not leases.try_lock(own, Lock.PARTICIPANTS, shared=True):\n            return None\n",
                "        leases.try_lock(own, Lock.PARTICIPANTS, shared=True)\n",
            ),
        ),
        ("tests/shm/test_segment.py::test_an_ending_session_cannot_be_joined",),
        "assert segment.attach(path) is None",
    ),
    Removal(
        12,
        "locks-beside",
        "All locks are bytes of the segment's own inode, which every process of the session has.",
        (
            Edit(
                "shm/segment.py",
                "                descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)\n"
                "                if os.fstat(descriptor)",
                "                os.makedirs(self.runtime_directory, mode=0o700, exist_ok=True)\n"
                '                beside = os.path.join(self.runtime_directory, "lock")\n'
                "                return os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)\n"
                "                if os.fstat(descriptor)",
            ),
        ),
        ("tests/faults/test_collector_gone.py::test_the_runtime_directory_may_be_removed[alone]",),
        "held",
    ),
    Removal(
        12,
        "forgets-its-sinks",
        "The spool directory, which no logout removes, holds a copy of the configuration.",
        (
            Edit(
                "session/config_file.py",
                "    found = read_config_in(segment.runtime_directory, segment.spool_directory)\n",
                "    found = read_config_in(segment.runtime_directory)\n",
            ),
        ),
        ("tests/faults/test_collector_gone.py::test_the_runtime_directory_may_be_removed[with the collector]",),
        "have been removed while it runs",
    ),
    Removal(
        13,
        "unlocks",
        "A lease ends when its process unmaps it, not by an unlock. The parent keeps a lease that its child unmaps.",
        (
            Edit(
                "shm/leases.py",
                "        address = kernel.map_file(descriptor, PAGE, writable=False)\n"
                "        if not inherited:\n"
                "            kernel.advise(address, PAGE, kernel.MADV_DONTFORK)\n"
                "        return cls(address)",
                "        return cls(os.dup(descriptor))",
            ),
            Edit(
                "shm/leases.py",
                "            kernel.unmap(address, PAGE)",
                "            unlock = _FLOCK.pack(fcntl.F_UNLCK, os.SEEK_SET, 0, 0, 0)\n"
                "            fcntl.fcntl(address, fcntl.F_OFD_SETLK, unlock)\n"
                "            os.close(address)",
            ),
        ),
        ("tests/shm/test_leases.py::test_a_child_that_releases_takes_nothing_from_its_parent",),
        "assert _is_held(path)",
    ),
    Removal(
        17,
        "probes-by-trying",
        "`is_held` asks with F_OFD_GETLK, which takes no lock.",
        (
            Edit(
                "shm/leases.py",
                "    return _holding(descriptor, byte, count) != fcntl.F_UNLCK\n",
                "    return not try_lock(descriptor, byte + count - 1)\n",
            ),
        ),
        ("tests/shm/test_leases.py::test_a_probe_does_not_take_the_lease",),
        "assert leases.try_lock(owner, BYTE)",
    ),
    Removal(
        23,
        "posix-locks",
        "Locks belong to open file descriptions (F_OFD_SETLK), not to processes.",
        (Edit("shm/leases.py", "fcntl.F_OFD_SETLK, _FLOCK.pack(kind,", "fcntl.F_SETLK, _FLOCK.pack(kind,"),),
        ("tests/shm/test_leases.py::test_descriptions_exclude_threads_of_one_process",),
        "assert not leases.try_lock(other, BYTE)",
    ),
    Removal(
        25,
        "trusts-the-name",
        "A file at the session's name is used only if this user owns it, it is regular, and it is closed to others.",
        (
            Edit(
                "shm/segment.py",
                "    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid()"
                " or stat.S_IMODE(found.st_mode) & 0o077:",
                "    if not stat.S_ISREG(found.st_mode):",
            ),
        ),
        (
            "tests/shm/test_segment.py::test_a_file_that_others_own_or_may_open_is_refused",
            "tests/faults/test_bad_input.py::test_a_segment_that_is_not_ours_is_not_used[open to all]",
        ),
        "PrivacyError",
    ),
    Removal(
        25,
        "socket-by-path",
        "The session's only socket is optional: where its path would be too long, the session does without it.",
        (
            Edit(
                "shm/introductions.py",
                "    except (OSError, AttributeError):  # the path is too long; not Linux\n",
                "    except AttributeError:\n",
            ),
        ),
        ("tests/faults/test_bad_input.py::test_directories_with_long_paths_cost_no_row",),
        "",
    ),
    Removal(
        28,
        "shared-fork-guard",
        "The fork guard's page is a private mapping, because MADV_WIPEONFORK wipes no other kind.",
        (
            Edit(
                "shm/leases.py",
                "        address = kernel.map_private(PAGE)\n",
                '        address = kernel.map_file(os.memfd_create("guard"), PAGE, writable=True)\n',
            ),
        ),
        ("tests/shm/test_leases.py::test_the_fork_guard_reads_zero_in_every_child",),
        "Invalid argument",
    ),
    Removal(
        28,
        "wiped-and-not-set-again",
        "Each producer arms a byte of its own, also in a forked child.",
        (Edit("shm/leases.py", "        self.page[index] = 1\n", "        self.page[index] = index == 0\n"),),
        ("tests/shm/test_leases.py::test_the_fork_guard_reads_zero_in_every_child",),
        "assert 1 == 0",
    ),
    Removal(
        29,
        "holds-slot-locks",
        "A process locks a slot only during a claim. So the number of locks grows with processes, not with slots.",
        (
            Edit(
                "producer/claims.py",
                '            with no_forks(), FileIO(self._segment.open(), "r+") as file:\n'
                "                locks = ClaimLocks(self._segment, close_in_children(file))\n",
                "            with no_forks():\n"
                "                locks = ClaimLocks(self._segment, self._segment.open())\n",
            ),
        ),
        ("tests/faults/test_crowds.py::test_a_segment_has_locks_for_processes_not_for_slots",),
        "locks",
    ),
)
