"""Guards between the collector and rerun's sinks and files: hazards 6 to 8, 14 and 30."""

from __future__ import annotations

from tests.hazards.registry import Edit, Removal

__all__ = ["REMOVALS"]

REMOVALS = (
    Removal(
        6,
        "sends-without-flushing",
        "A live sink waits for an answer after every 4 MB, and sends nothing until it comes.",
        (
            Edit(
                "collector/live.py",
                "            if sent_bytes >= CALL_BYTES:\n",
                "            if sent_bytes >= CALL_BYTES << 10:\n",
            ),
        ),
        (
            "tests/collector/test_live.py::test_a_viewer_that_freezes_while_it_catches_up_is_sent_no_more_than_a_few_megabytes",
        ),
        "resident_megabytes",
    ),
    Removal(
        7,
        "trusts-a-dead-writer",
        "A file that does not grow while it is flushed has failed. Its rows go to the spool; its writer is abandoned.",
        (
            Edit(
                "collector/store/part_writer.py",
                "                if grown == size and left >= STALLED_SECS:\n"
                "                    raise ResourceError("
                'f"{part.path} did not grow for {STALLED_SECS:g} s") from error\n',
                "",
            ),
        ),
        ("tests/collector/store/test_appending.py::test_a_file_that_stands_still_costs_no_row",),
        "did not take its rows within",
    ),
    Removal(
        7,
        "fills-the-disk",
        "The store leaves a disk before the disk is full, because rerun's writer does not survive a full one.",
        (
            Edit(
                "collector/store/appending.py",
                "        if not writing.has_room(num_bytes):\n",
                "        if writing.part is None:\n",
            ),
        ),
        (
            "tests/collector/store/test_appending.py::test_a_disk_nearly_full_is_left_alone_and_the_rows_wait_in_the_spool",
        ),
        "diverted",
    ),
    Removal(
        8,
        "reads-beyond-the-last-whole-message",
        "A reader takes only the whole messages of a file.",
        (
            Edit(
                "encoding/rrd_files.py",
                "        if stop > size or kind not in MessageKind.__members__.values():\n",
                "        if kind not in MessageKind.__members__.values():\n",
            ),
        ),
        (
            "tests/encoding/test_rrd_files.py::test_wherever_a_file_is_cut_its_whole_chunks_are_read",
            "tests/collector/store/test_journal.py::test_a_file_cut_inside_a_message_loses_only_that",
        ),
        "",
    ),
    Removal(
        14,
        "does-not-wait-for-its-files",
        "The last process that set a sink waits until its files are complete.",
        (
            Edit(
                "session/leaving.py",
                "        _await_files(session, participants, begin, patience)\n",
                "        pass\n",
            ),
        ),
        ("tests/faults/test_orphans.py::test_the_file_is_complete_before_the_program_has_ended",),
        "complete False",
    ),
    Removal(
        14,
        "takes-a-dead-process-for-a-participant",
        "A share of the participants lock that no living process holds does not keep a program from waiting.",
        (
            Edit(
                "session/participants.py",
                "        return now - self._since >= LINGER_SECS\n",
                "        return True\n",
            ),
        ),
        ("tests/session/test_participants.py::test_a_program_waits_while_the_share_of_a_dead_process_lingers",),
        "without writing 'waits'",
    ),
    Removal(
        14,
        "writes-over-a-later-run",
        "Parts are written under hidden names, and renamed to the path only if no other program has put a file there.",
        (
            Edit(
                "collector/store/journal.py",
                "        if self.target is None or self.owns_target():\n",
                "        if self.target is None or True:\n",
            ),
        ),
        ("tests/collector/store/test_completion.py::test_a_later_run_keeps_the_path_when_the_earlier_must_merge",),
        "",
    ),
    Removal(
        14,
        "writes-in-place",
        "The store never writes to the user's path in place, so that two runs never write one inode.",
        (
            Edit(
                "collector/store/part_writer.py",
                "            path = self._journal.hidden_path(target.target, number)\n",
                "            path = target.target\n",
            ),
        ),
        ("tests/collector/store/test_completion.py::test_the_later_of_two_runs_has_the_path_and_their_rows_never_mix",),
        "",
    ),
    Removal(
        30,
        "reads-the-file-at-once",
        "Parts are copied chunk by chunk, with a flush every 16 MB.",
        (
            Edit(
                "collector/store/rerun_files.py",
                "        for chunk in source:\n            number",
                "        for chunk in list(source):\n            number",
            ),
        ),
        ("tests/collector/store/test_completion.py::test_completing_a_large_file_takes_little_memory",),
        "MiB",
    ),
)
