"""Counts that are written in place are whole whenever the writer is killed."""

from __future__ import annotations

from pathlib import Path

from rerun_mp.collector.store.held_counts import HeldCounts


def test_the_last_whole_value_is_read(tmp_path: Path) -> None:
    assert HeldCounts(tmp_path).read() is None
    counts = HeldCounts(tmp_path)
    for value in ({"7": 100_000}, {"7": 1}, {"7": 2}):
        counts.write(value)
        assert HeldCounts(tmp_path).read() == value
    again = HeldCounts(tmp_path)
    assert again.read() == {"7": 2}
    again.write({"7": 3})
    assert HeldCounts(tmp_path).read() == {"7": 3}


def test_the_value_before_is_read_if_the_last_one_was_cut_off(tmp_path: Path) -> None:
    counts = HeldCounts(tmp_path)
    counts.write("first")
    counts.write("second")
    for path, damage in ((tmp_path / "held-0.json", b"0"), (tmp_path / "held-1.json", b"")):
        whole = path.read_bytes()
        for size in range(len(whole)):
            path.write_bytes(whole[:size] + damage)
            assert HeldCounts(tmp_path).read() == ("first" if "held-0" in path.name else "second")
        path.write_bytes(whole)
    assert HeldCounts(tmp_path).read() == "second"


def test_the_journals_version_counts_if_it_is_newer(tmp_path: Path) -> None:
    """A version that is cut off later costs neither the journal's nor the other file's."""
    counts = HeldCounts(tmp_path)
    counts.write("first")
    counts.write("second")
    in_journal = (counts.take_number(), "journal")
    assert HeldCounts(tmp_path).read(in_journal) == "journal"
    counts.write("later")
    again = HeldCounts(tmp_path)
    assert again.read(in_journal) == "later"
    again.write("last")
    assert {HeldCounts(tmp_path).read(), HeldCounts(tmp_path).read(in_journal)} == {"last"}
    for path in tmp_path.iterdir():
        if b"last" in path.read_bytes():
            path.write_bytes(b"cut")
    assert HeldCounts(tmp_path).read(in_journal) == "later"
