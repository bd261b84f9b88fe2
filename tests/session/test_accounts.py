"""Accounts add up: the last one of each producer counts, and drops of stores are taken from its stored rows."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from rerun_mp.session import accounts
from rerun_mp.session.accounts import Account, Reason, Statistics
from rerun_mp.session.statistics import SUMMED
from rerun_mp.shm.layout import MAX_WORD, Header, ProducerState, ProducerWord
from rerun_mp.shm.segment import Segment


def account(index: int, *, generation: int = 1, stored: int = 10, first_row: int = 1000) -> Account:
    """Return the account of an ended producer that dropped one row for each reason of the producer's own."""
    return Account(
        index=index,
        generation=generation,
        pid=100 + index,
        name=f"worker-{index}",
        started_ns=index,
        first_row=first_row + index,
        stored=stored,
        dropped_by_policy=1,
        dropped_by_damage=1,
        dropped_by_spool_limit=0,
        dropped_by_write_failure=0,
        refused=0,
        blocked_ns=0,
        is_live=False,
    )


def test_rows_logged_are_rows_delivered_and_dropped() -> None:
    statistics = Statistics((account(0), account(1)))
    assert (statistics.logged, statistics.stored, statistics.dropped) == (24, 20, 4)


def test_a_session_without_producers_has_no_accounts(lone_segment: Segment) -> None:
    assert accounts.read_accounts(lone_segment) == []
    assert accounts.live_account(lone_segment, 0) is None


def test_the_last_account_of_a_producer_counts(lone_segment: Segment) -> None:
    """A collector that dies between the account and the freed entry has its successor append it again."""
    for written in (account(1), account(0), account(1, stored=20), account(1, generation=2)):
        accounts.append_account(lone_segment, written)
    assert accounts.read_accounts(lone_segment) == [account(0), account(1, stored=20), account(1, generation=2)]


def test_a_removed_file_is_there_again_with_the_accounts_of_all_lives(lone_segment: Segment) -> None:
    accounts.EndedAccounts(lone_segment).append(account(0))
    ended = accounts.EndedAccounts(lone_segment)
    shutil.rmtree(lone_segment.runtime_directory)
    ended.restore()
    assert accounts.read_accounts(lone_segment) == [account(0)]
    shutil.rmtree(lone_segment.runtime_directory)
    ended.append(account(1))
    assert accounts.read_accounts(lone_segment) == [account(0), account(1)]


def test_a_line_that_was_cut_off_spoils_no_other(lone_segment: Segment) -> None:
    accounts.append_account(lone_segment, account(0))
    path = Path(lone_segment.runtime_directory) / accounts.ENDED_NAME
    path.write_bytes(path.read_bytes() + b'{"index": 1, "gener')
    accounts.append_account(lone_segment, account(1))
    assert accounts.read_accounts(lone_segment) == [account(0), account(1)]


def test_the_oldest_of_many_producers_become_one_sum(lone_segment: Segment) -> None:
    """The totals stay, and rows that a store drops later are still counted once. Reading twice changes nothing."""
    number = 4000
    path = Path(lone_segment.runtime_directory) / accounts.ENDED_NAME
    for index in range(number):
        accounts.append_account(lone_segment, account(index % 50, generation=index, first_row=100 * index))
        assert path.stat().st_size < accounts.MAX_ENDED_BYTES + 1000
    drops = {Reason.SPOOL: {100 * 7 + 7: 2, 100 * (number - 1) + 49: 3}}
    found = Statistics(tuple(accounts.read_accounts(lone_segment, drops)))
    (total,) = [one for one in found.producers if one.is_sum]
    assert total.name == f"{total.generation:,} earlier processes"
    assert total.generation + len(found.producers) - 1 == number
    assert (found.stored, found.dropped) == (10 * number - 5, 2 * number + 5)
    assert total.dropped_by_spool_limit in (0, 2)
    assert len(accounts.read_first_rows(lone_segment)) == number


def test_drops_of_stores_are_taken_from_the_stored_rows(lone_segment: Segment) -> None:
    accounts.append_account(lone_segment, account(0))
    drops = {Reason.SPOOL: {1000: 2}, Reason.WRITE: {1000: 3}, Reason.DAMAGE: {1000: 4, 9: 1}}
    accounts.write_store_drops(lone_segment, drops, {}, 0)
    assert accounts.read_store_drops(lone_segment) == drops
    (found,) = accounts.read_accounts(lone_segment)
    assert (found.stored, found.dropped_by_spool_limit, found.dropped_by_write_failure) == (1, 2, 3)
    assert found.dropped_by_damage == 5
    assert found.logged == account(0).logged
    assert accounts.read_accounts(lone_segment, drops={}) == [account(0)], "the caller knows better"


def test_drops_of_a_sweep_count_when_the_sweep_is_done(lone_segment: Segment) -> None:
    """Before that the producer's total lacks the rows, so that its stored rows would be too few, or negative."""
    accounts.append_account(lone_segment, account(0))
    accounts.write_store_drops(lone_segment, {Reason.SPOOL: {1000: 1}}, {Reason.RULES: {1000: 3}}, 7)
    found = []
    for done in (6, 7, 8):
        lone_segment.ring.words[Header.SWEEP_DONE] = done
        found += accounts.read_accounts(lone_segment)
    assert [(one.stored, one.held_back) for one in found] == [(9, 0), (6, 3), (6, 3)]


def test_an_account_whose_entry_is_not_free_yet_is_not_summed_up(
    lone_segment: Segment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A collector that is killed before it frees the entry has its successor append the account again.

    The producer is the oldest of all.
    """
    monkeypatch.setattr(accounts, "KEPT_ENDED", 2)
    monkeypatch.setattr(accounts, "MAX_ENDED_BYTES", 1500)
    ring = lone_segment.ring
    entry = ring.geometry.producer_word(0)
    for index in range(1, 9):
        accounts.append_account(lone_segment, account(index))
    ring.words[entry + ProducerWord.STATE] = ProducerState.LIVE | 1 << 8
    for _ in range(2):
        accounts.append_account(lone_segment, account(0))
        found = Statistics(tuple(accounts.read_accounts(lone_segment)))
        assert (found.stored, found.dropped) == (90, 18)
    ring.words[entry + ProducerWord.STATE] = 1 << 8
    accounts.append_account(lone_segment, account(9))
    found = Statistics(tuple(accounts.read_accounts(lone_segment)))
    assert (found.stored, found.dropped) == (100, 20)
    assert any(one.is_sum and one.generation == 8 for one in found.producers)


def test_a_producer_that_becomes_part_of_the_sum_while_accounts_are_read_counts_once(
    lone_segment: Segment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its entry was read before, and the file of ended producers after that."""
    ring = lone_segment.ring
    entry = ring.geometry.producer_word(0)
    ring.words[entry + ProducerWord.STATE] = ProducerState.LIVE | 1 << 8
    ring.words[entry + ProducerWord.DROPPED] = 5
    read = accounts._ended

    def end_and_read(segment: Segment) -> object:
        if ring.words[entry + ProducerWord.STATE] & 0xFF == ProducerState.LIVE:
            ring.words[entry + ProducerWord.STATE] = 1 << 8
            total = replace(account(0), index=SUMMED, generation=3, dropped_by_policy=8)
            accounts.append_account(segment, total)
        return read(segment)

    monkeypatch.setattr(accounts, "_ended", end_and_read)
    assert Statistics(tuple(accounts.read_accounts(lone_segment))).dropped == 8 + 1


def test_totals_name_the_reasons_that_occurred() -> None:
    assert accounts.totals([account(0), account(1)]) == {Reason.POLICY: 2, Reason.DAMAGE: 2}


def test_published_totals_outlive_the_files_and_fit_into_words(lone_segment: Segment) -> None:
    accounts.publish_totals(lone_segment, {Reason.POLICY: 5, Reason.WRITE: 1 << 80})
    found = accounts.published_totals(lone_segment)
    assert found == Counter({Reason.POLICY: 5, Reason.WRITE: MAX_WORD})


def test_each_reason_says_what_to_do() -> None:
    assert all("(" in reason.explanation for reason in Reason)
