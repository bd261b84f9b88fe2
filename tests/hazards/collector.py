"""Guards in the collector: hazards 5, 9, 10, 15, 18 to 20, 24 and 27."""

from __future__ import annotations

from tests.hazards.registry import Edit, Removal

__all__ = ["REMOVALS"]

GONE = "tests/faults/test_collector_gone.py"

REMOVALS = (
    Removal(
        5,
        "id-without-entity",
        "A frame's chunk id is made from segment, recording, entity, shape, part and ranges.",
        (
            Edit(
                "collector/drain/frame_chunks.py",
                "    texts = (*group.recording, group.entity_path)\n",
                "    texts = (*group.recording,)\n",
            ),
        ),
        (
            "tests/collector/drain/test_frame_chunks.py::test_the_chunk_id_depends_on_everything_that_identifies_the_rows",
        ),
        "assert",
    ),
    Removal(
        5,
        "id-without-nonce",
        "A frame's chunk id depends on the segment's random nonce, which differs in a later segment of the same key.",
        (
            Edit(
                "collector/drain/frame_chunks.py",
                "    for piece in (nonce, *(text.encode()",
                "    for piece in (*(text.encode()",
            ),
        ),
        (
            "tests/collector/drain/test_frame_chunks.py::test_the_chunk_id_depends_on_everything_that_identifies_the_rows",
        ),
        "assert",
    ),
    Removal(
        5,
        "table-id-without-entity",
        "A table's chunk id depends on the entity.",
        (Edit("collector/drain/table_chunks.py", 'f"{number}:{path}".encode()', 'f"{number}".encode()'),),
        (
            "tests/collector/drain/test_table_chunks.py::test_the_chunk_id_depends_on_everything_that_identifies_the_rows",
        ),
        "assert",
    ),
    Removal(
        5,
        "table-id-without-nonce",
        "A table's chunk id depends on the segment's nonce.",
        (
            Edit(
                "collector/drain/table_chunks.py",
                "hashlib.blake2b(nonce, digest_size=16)",
                "hashlib.blake2b(digest_size=16)",
            ),
        ),
        (
            "tests/collector/drain/test_table_chunks.py::test_the_chunk_id_depends_on_everything_that_identifies_the_rows",
        ),
        "assert",
    ),
    Removal(
        15,
        "child-of-the-user",
        "A shell that ends at once starts the collector, so that the collector is no child of the program.",
        (
            Edit("hooks/detached.py", '\'"$@" &\', "sh"', '\'exec "$@"\', "sh"'),
            Edit(
                "hooks/detached.py",
                "        posix.waitpid(intermediate, 0)\n",
                "        posix.waitpid(intermediate, os.WNOHANG)\n",
            ),
        ),
        ("tests/faults/test_orphans.py::test_waiting_for_every_child_returns_no_process_of_rerun_mp",),
        "assert ended == started",
    ),
    Removal(
        15,
        "in-the-users-group",
        "The collector has an operating-system session of its own, and so a process group of its own.",
        (
            Edit(
                "hooks/detached.py",
                "        setsid=True,\n",
                "",
            ),
        ),
        ("tests/faults/test_orphans.py::test_a_signal_to_the_whole_process_group_costs_no_row[9]",),
        "",
    ),
    Removal(
        20,
        "ends-under-a-newcomer",
        "The end waits for processes that name the session in their environment.",
        (
            Edit(
                "collector/ending.py",
                "    return gone_for >= NEWCOMER_PATIENCE or next(newcomers(segment), None) is None\n",
                "    return gone_for >= 0\n",
            ),
        ),
        ("tests/faults/test_orphans.py::test_a_subprocess_joins_after_its_parent_has_left",),
        "FileNotFoundError",
    ),
    Removal(
        9,
        "frees-parts-one-by-one",
        "One sweep takes a whole chain. When that sweep is done, all slots of the chain are freed with its head.",
        (
            Edit(
                "collector/drain/slots.py",
                "            message[at : at + n] = self._ring.memory[offset : offset + n]\n            at += n\n",
                "            message[at : at + n] = self._ring.memory[offset : offset + n]\n"
                "            at += n\n"
                "            if number != slot:\n"
                "                self._ring.memory[offset : offset + n] = bytes(n)\n"
                "                self._ring.free(number)\n",
            ),
        ),
        ("tests/collector/drain/test_sweep.py::test_a_chain_is_whole_for_the_collector_that_follows_a_dead_one",),
        "assert [",
    ),
    Removal(
        9,
        "frees-what-has-a-new-owner",
        "A head names its parts with their epochs. So a part that has been freed since is not freed again.",
        (
            Edit(
                "collector/drain/slots.py",
                "            self._words[line + Line.STATE] == head & ~0xFF | SlotState.OPEN\n"
                "            and self._words[line + Line.KIND] == Kind.PART\n"
                "            and self._words[line + Line.EPOCH] & EPOCH_MASK == epoch\n",
                "            self._words[line + Line.STATE] & 0xFF == SlotState.OPEN\n"
                "            and self._words[line + Line.KIND] == Kind.PART\n"
                "            and min(head, epoch) >= 0\n",
            ),
        ),
        ("tests/collector/drain/test_freeing.py::test_a_part_that_has_a_new_owner_is_not_freed_with_its_old_chain",),
        "assert 1 ==",
    ),
    Removal(
        10,
        "trusts-the-snapshot",
        "The collector reads a slot's count again before it frees the slot. The count of a sealed slot is final.",
        (
            Edit(
                "collector/drain/freeing.py",
                "            if slot not in progress.ahead and self._has_no_more(slot):\n",
                "            if slot not in progress.ahead:\n",
            ),
        ),
        ("tests/collector/drain/test_freeing.py::test_no_snapshot_frees_a_slot_that_has_more[downwards-7-7]",),
        "its second row is lost",
    ),
    Removal(
        18,
        "dies-of-a-panic",
        "A chunk that rerun-sdk refuses, by an error or a panic, costs its own rows, and they are counted.",
        (
            Edit(
                "collector/store/rerun_sinks.py",
                '        raise CorruptionError(f"rerun-sdk refuses chunk',
                '        raise SystemError(f"rerun-sdk refuses chunk',
            ),
        ),
        ("tests/collector/store/test_recording_store.py::test_chunks_that_rerun_refuses_are_counted",),
        "SystemError",
    ),
    Removal(
        18,
        "never-condemns",
        "Workers leave out a slot or chunk that two workers before them were reading when they died.",
        (
            Edit(
                "collector/drain/quarantine.py",
                "        if self._suspicions[suspect] >= MAX_SUSPICIONS and",
                "        if self._suspicions[suspect] >= 1 << 30 and",
            ),
        ),
        ("tests/faults/test_quarantine.py::test_a_slot_that_kills_workers_is_dropped_and_counted",),
        "",
    ),
    Removal(
        19,
        "guard-does-not-look",
        "The guard starts another worker when one has died.",
        (
            Edit(
                "collector/guard.py",
                "            if status == 0:\n                return\n",
                "            return\n",
            ),
        ),
        (f"{GONE}::test_a_collector_killed_after_the_last_participant_has_gone_is_replaced[worker]",),
        "",
    ),
    Removal(
        19,
        "worker-does-not-look",
        "The worker starts another guard when the byte of the old one is free.",
        (
            Edit(
                "collector/worker.py",
                "            collector_start.ensure_collector(self._segment, need_guard=True)\n",
                "            collector_start.ensure_collector(self._segment)\n",
            ),
        ),
        ("tests/faults/test_orphans.py::test_a_killed_collector_is_replaced[guard]",),
        "one guard, which did not come",
    ),
    Removal(
        19,
        "parent-does-not-look",
        "A process that waits for the collector, at the latest at its exit, starts one if none runs.",
        (
            Edit(
                "session/collector_watch.py",
                "            collector_start.ensure_collector(self._segment)\n        except CollectorError",
                "            pass\n        except CollectorError",
            ),
        ),
        (
            f"{GONE}::test_a_collector_killed_while_the_parent_sits_in_join_is_replaced[waits]",
            f"{GONE}::test_a_collector_killed_while_the_parent_sits_in_join_is_replaced[logs on]",
        ),
        "did not",
    ),
    Removal(
        24,
        "rings-by-fifo",
        "Avoided: the doorbell is a semaphore, which takes a ring even if no collector is there.",
        (
            Edit(
                "shm/doorbell.py",
                "                semaphore = semaphores.Semaphore(self._name)\n"
                "            except (semaphores.Error, OSError) as error:\n"
                "                if not is_own(error):\n"
                "                    raise\n"
                "                return\n"
                "            if not _is_ours(self._name):\n"
                "                semaphore.close()\n"
                "                return\n"
                "            self._semaphore = semaphore\n",
                "                self._semaphore = os.open(fifo_of(self._name), os.O_WRONLY | os.O_NONBLOCK)\n"
                "            except OSError:\n"
                "                return\n",
            ),
            Edit(
                "shm/doorbell.py",
                "        with suppress_own(semaphores.Error, OSError):\n            self._semaphore.release()\n",
                '        os.write(self._semaphore, b"x")\n',
            ),
            Edit(
                "shm/doorbell.py",
                '    def remove(self) -> None:\n        """Unlink and close the semaphore."""\n',
                "    def remove(self) -> None:\n"
                '        """Unlink and close the semaphore."""\n'
                "        os.unlink(fifo_of(self._name))\n",
            ),
            Edit(
                "shm/doorbell.py",
                "    def _make(self) -> bool:\n",
                "    def _make(self) -> bool:\n"
                "        if not os.path.exists(fifo_of(self._name)):\n"
                "            os.mkfifo(fifo_of(self._name), 0o600)\n"
                "        self._reader = os.open(fifo_of(self._name), os.O_RDONLY | os.O_NONBLOCK)\n",
            ),
            Edit(
                "shm/doorbell.py",
                '    __slots__ = ("_has_complained", "_name", "_semaphore")\n'
                "\n"
                "    def __init__(self, nonce: bytes) -> None:\n"
                "        self._name = name_of(nonce)\n"
                "        self._semaphore: semaphores.LibcSemaphore | None = None\n"
                "        self._has_complained = False\n"
                "        self._make()\n",
                "    def __init__(self, nonce: bytes) -> None:\n"
                "        self._name = name_of(nonce)\n"
                "        self._semaphore: semaphores.LibcSemaphore | None = None\n"
                "        self._has_complained = False\n"
                "        self._make()\n",
            ),
            Edit(
                "shm/doorbell.py",
                "DEAF_SECS = 0.02\n",
                "DEAF_SECS = 0.02\n\n\n"
                "def fifo_of(name: str) -> str:\n"
                '    return "/dev/shm/sem." + name[1:] + "-fifo"\n\n\nimport os\n',
            ),
        ),
        (f"{GONE}::test_ringing_for_a_dead_collector_kills_no_program",),
        "the program ended with -13",
    ),
    Removal(
        27,
        "keeps-all-recordings-open",
        "Beyond 64 recordings, the collector ends the part of the recording that has been unused for longest.",
        (
            Edit(
                "collector/outputs.py",
                "        while len(self._open) > MAX_OPEN:\n",
                "        while len(self._open) > MAX_OPEN << 20:\n",
            ),
        ),
        ("tests/faults/test_crowds.py::test_recordings_beyond_64_rest_and_are_whole_all_the_same",),
        "threads",
    ),
    Removal(
        27,
        "a-stream-for-each-file",
        "The stream of a closed file is used again for the next file of its recording.",
        (
            Edit(
                "collector/store/rerun_sinks.py",
                "        stream = _idle_streams[recording].pop()\n",
                "        stream = None\n",
            ),
        ),
        ("tests/collector/store/test_rerun_sinks.py::test_files_of_one_recording_take_no_more_threads_than_one",),
        "assert write(number) <= threads",
    ),
)
