"""Accounts add up: the last one of each producer counts, and drops of stores are taken from its stored rows."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from rerun_mp.session import accounts
from rerun_mp.session.accounts import Account, Reason, Statistics
from rerun_mp.shm.layout import MAX_WORD
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
    accounts.write_store_drops(lone_segment, drops)
    assert accounts.read_store_drops(lone_segment) == drops
    (found,) = accounts.read_accounts(lone_segment)
    assert (found.stored, found.dropped_by_spool_limit, found.dropped_by_write_failure) == (1, 2, 3)
    assert found.dropped_by_damage == 5
    assert found.logged == account(0).logged
    assert accounts.read_accounts(lone_segment, drops={}) == [account(0)], "the caller knows better"


def test_totals_name_the_reasons_that_occurred() -> None:
    assert accounts.totals([account(0), account(1)]) == {Reason.POLICY: 2, Reason.DAMAGE: 2}


def test_published_totals_outlive_the_files_and_fit_into_words(lone_segment: Segment) -> None:
    accounts.publish_totals(lone_segment, {Reason.POLICY: 5, Reason.WRITE: 1 << 80})
    found = accounts.published_totals(lone_segment)
    assert found == Counter({Reason.POLICY: 5, Reason.WRITE: MAX_WORD})


def test_each_reason_says_what_to_do() -> None:
    assert all("(" in reason.explanation for reason in Reason)
