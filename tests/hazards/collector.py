"""Guards in the collector and its life: hazards 5, 9, 10, 14, 15, 18 to 20, 24 and 27."""

from __future__ import annotations

from tests.hazards.registry import Edit, Removal

__all__ = ["REMOVALS"]

REMOVALS = (
    Removal(
        5,
        "id-without-entity",
        "A frame's chunk id is made from segment, recording, entity, shape, part and ranges.",
        (
            Edit(
                "collector/chunks.py",
                "    texts = (*group.recording, group.entity_path)\n",
                "    texts = (*group.recording,)\n",
            ),
        ),
        ("tests/collector/test_chunks.py::test_whatever_identifies_the_rows_is_in_the_chunk_id",),
        "assert",
    ),
    Removal(
        5,
        "id-without-nonce",
        "A frame's chunk id depends on the segment's random nonce, which a later one under the same key has not.",
        (
            Edit(
                "collector/chunks.py",
                "    for piece in (nonce, *(text.encode()",
                "    for piece in (*(text.encode()",
            ),
        ),
        ("tests/collector/test_chunks.py::test_whatever_identifies_the_rows_is_in_the_chunk_id",),
        "assert",
    ),
    Removal(
        5,
        "table-id-without-entity",
        "A table's chunk id is made from the same.",
        (Edit("collector/tables.py", 'f"{number}:{path}".encode()', 'f"{number}".encode()'),),
        (
            "tests/collector/test_tables.py::test_a_repeated_sweep_makes_the_same_chunks",
            "tests/collector/test_tables.py::test_whatever_identifies_the_rows_is_in_the_chunk_id",
        ),
        "assert",
    ),
    Removal(
        5,
        "table-id-without-nonce",
        "A table's chunk id depends on the segment's nonce.",
        (Edit("collector/tables.py", "hashlib.blake2b(nonce, digest_size=16)", "hashlib.blake2b(digest_size=16)"),),
        ("tests/collector/test_tables.py::test_whatever_identifies_the_rows_is_in_the_chunk_id",),
        "assert",
    ),
    Removal(
        15,
        "child-of-the-user",
        "A shell that ends at once starts the collector, so that it is nobody's child.",
        (
            Edit("launch.py", "'\"$@\" &', \"sh\"", "'exec \"$@\"', \"sh\""),
            Edit("launch.py", "        os.waitpid(intermediate, 0)\n", "        os.waitpid(intermediate, os.WNOHANG)\n"),
        ),
        ("tests/faults/test_orphans.py::test_waiting_for_every_child_meets_none_of_ours",),
        "did not end within",
    ),
    Removal(
        15,
        "in-the-users-group",
        "The collector has a session of the operating system's of its own, and so a process group.",
        (Edit("launch.py", "            setsid=True,\n", ""),),
        ("tests/faults/test_orphans.py::test_a_signal_to_the_whole_process_group_drains[9]",),
        "",
    ),
    Removal(
        20,
        "ends-under-a-newcomer",
        "The end waits for processes that name the session in their environment.",
        (
            Edit(
                "collector/ending.py",
                "    return gone_for >= NEWCOMER_PATIENCE or not _is_expected(os.path.basename(segment.path))\n",
                "    return gone_for >= 0\n",
            ),
        ),
        ("tests/faults/test_orphans.py::test_a_subprocess_joins_after_its_parent_has_left",),
        "assert",
    ),
)
