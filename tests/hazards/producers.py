"""Guards on the writing side: hazards 3, 9, 16, 21, 22 and 26."""

from __future__ import annotations

from tests.hazards.registry import Edit, Removal

__all__ = ["REMOVALS"]

CROWDS = "tests/faults/test_crowds.py"

REMOVALS = (
    Removal(
        3,
        "takes-dead-entries",
        "A new producer takes only entries that are FREE, even if no process holds their locks.",
        (
            Edit(
                "producer/registration.py",
                "        if seen[geometry.producer_word(index) + ProducerWord.STATE] & 0xFF != ProducerState.FREE:\n"
                "            continue\n",
                "",
            ),
            Edit(
                "producer/registration.py",
                "            if found & 0xFF != ProducerState.FREE:\n"
                "                if reserve is not None:\n"
                "                    reserve.unlock(Lock.PRODUCERS + index)\n"
                "                continue\n",
                "",
            ),
        ),
        ("tests/producer/test_registration.py::test_an_entry_is_not_taken_before_its_dead_owner_is_drained",),
        "assert 0 == 1",
    ),
    Removal(
        3,
        "frees-entries-too-early",
        "The collector frees an entry when no slot names its owner any more.",
        (
            Edit(
                "collector/reporting/dead_producers.py",
                "            if not self._segment.ring.owner_slots(owner):\n",
                "            if True:\n",
            ),
        ),
        ("tests/producer/test_registration.py::test_an_entry_is_not_taken_before_its_dead_owner_is_drained",),
        "assert 0 == 2",
    ),
    Removal(
        9,
        "keeps-interrupted-chains",
        "A call that an exception ends gives back the slots that it has claimed.",
        (
            Edit("producer/oversize.py", "            self._writer.abandon(chain)\n", "            pass\n"),
            Edit(
                "producer/claims.py",
                "            self._writer.abandon(tried)\n            if not self._is_refusal(error):",
                "            if not self._is_refusal(error):",
            ),
            Edit(
                "producer/claims.py",
                "        ring, words, owner = self._ring,",
                "        return\n        ring, words, owner = self._ring,",
            ),
        ),
        ("tests/faults/test_every_interrupt.py::test_an_exception_in_the_middle_costs_that_row_alone",),
        "are open",
    ),
    Removal(
        9,
        "waits-with-half-a-chain",
        "A producer that gets too few slots for a message gives them back before it waits for space.",
        (
            Edit(
                "producer/oversize.py",
                "            if len(chain) < slots:\n                return False\n",
                "            while len(chain) < slots:\n"
                "                __import__('time').sleep(0.0002)\n"
                "                chain += self._claims.claim_chain(slots - len(chain), rows)\n",
            ),
        ),
        ("tests/faults/test_large.py::test_many_messages_of_a_quarter_of_the_ring_all_arrive",),
        "did not end within",
    ),
    Removal(
        16,
        "keeps-always",
        "A producer keeps a slot open between calls only while at least a quarter of all slots is not kept open.",
        (
            Edit(
                "shm/ring.py",
                "        return states.count(SlotState.OPEN) * 4 <= (",
                "        return bool(states) or states.count(SlotState.OPEN) * 4 <= (",
            ),
        ),
        ("tests/shm/test_ring.py::test_room_to_keep_needs_a_quarter_free",),
        "",
    ),
    Removal(
        21,
        "commits-for-the-parent",
        "Before each store the writer checks the fork guard's byte. No fork can happen between check and store.",
        (
            Edit(
                "shm/writer.py",
                "        if not alive[armed]:\n            raise ForkedError\n        words[rows_index] = rows\n",
                "        words[rows_index] = rows\n",
            ),
        ),
        (
            "tests/shm/test_writer.py::test_a_forked_child_stores_nothing",
            "tests/shm/test_writer.py::test_nothing_can_run_between_guard_and_store[commit]",
        ),
        "",
    ),
    Removal(
        21,
        "nested-appends-meet",
        "An append marks its table before its first store. A nested append of the same thread then stores nothing.",
        (
            Edit(
                "producer/hot_appends.py",
                "            del mark.free\n",
                "            mark.__init__()\n            del mark.free\n",
            ),
        ),
        ("tests/producer/test_hot_appends.py::test_a_nested_append_is_whole_or_refused[text]",),
        "",
    ),
    Removal(
        21,
        "closes-without-releasing",
        "Closing a table releases the views that an interrupted append stores through, also in a forked child.",
        (Edit("producer/open_table.py", "        for view in self._views:\n            view.release()\n", ""),),
        (
            "tests/producer/test_hot_appends.py::test_an_append_whose_table_is_closed_in_the_middle_stores_nothing_more[text]",
        ),
        "",
    ),
    Removal(
        21,
        "commits-before-the-payload",
        "An append stores the count after the row's values.",
        (
            Edit(
                "producer/hot_appends.py",
                "        STORE\n        clock[row] = now\n",
                "        count[0] = row + 1\n        STORE\n        clock[row] = now\n",
            ),
        ),
        ("tests/producer/test_hot_appends.py::test_an_exception_leaves_the_row_once_or_not_at_all[text]",),
        "",
    ),
    Removal(
        21,
        "stores-by-the-parents-views",
        "A writer stores through views of its own. A forked child releases them.",
        (
            Edit(
                "shm/writer.py",
                "        for view in (self._memory, self._words, self._states):\n            view.release()\n",
                "",
            ),
        ),
        ("tests/shm/test_writer.py::test_an_interrupted_call_stores_nothing_once_the_writer_is_invalid[commit]",),
        "a store after step",
    ),
    Removal(
        22,
        "takes-the-programs-exception-for-its-own",
        "Only an exception that our own code has raised means that a table is closed or does not know an entity.",
        (Edit("api/log.py", "            if not is_own(error):\n                raise\n", "            pass\n"),),
        ("tests/faults/test_interruptions.py::test_the_programs_exceptions_are_its_own[raising_handlers-500]",),
        "",
    ),
    Removal(
        21,
        "appends-to-the-parents-table",
        "An append checks the fork guard's byte. A fork made in C wipes that byte, too.",
        (
            Edit(
                "producer/hot_appends.py",
                "        if row >= capacity or not alive[armed]:\n",
                "        if row >= capacity:\n",
            ),
        ),
        ("tests/producer/test_hot_appends.py::test_an_append_refuses_what_it_cannot_do",),
        "assert not third.append",
    ),
    Removal(
        22,
        "mutex-not-reentrant",
        "The thread that holds the mutex can take it again.",
        (
            Edit(
                "producer/producer.py",
                "        self._mutex = threading.RLock()\n",
                "        self._mutex = threading.Lock()\n",
            ),
        ),
        ("tests/faults/test_forks.py::test_a_signal_handler_that_logs_in_a_call_costs_no_row[frames]",),
        "did not end within",
    ),
    Removal(
        22,
        "enters-a-busy-call",
        "A call that interrupts another call of its thread uses a slot of its own.",
        (
            Edit(
                "producer/producer.py",
                "            del self._busy.free\n        except AttributeError as error:\n"
                "            if not is_own(error):\n                raise\n            return None\n",
                "            pass\n        except AttributeError:\n            pass\n",
            ),
        ),
        ("tests/faults/test_forks.py::test_a_signal_handler_that_logs_in_a_call_costs_no_row[frames]",),
        "",
    ),
    Removal(
        22,
        "waits-for-the-frozen",
        "While the interpreter finalises, no call takes the mutex: a frozen daemon thread may hold it.",
        (
            Edit(
                "producer/producer.py",
                "            return not self._full_ring.is_closed and self._append_alone(rows)\n",
                "            pass\n",
            ),
            Edit(
                "producer/producer.py",
                "        if sys.is_finalizing():\n            return Outcome.NOT_A_TABLE\n",
                "",
            ),
        ),
        ("tests/faults/test_forks.py::test_daemon_threads_and_finalisers_do_not_hang_the_end[child]",),
        "did not end within",
    ),
    Removal(
        22,
        "claims-with-the-frozen",
        "While the interpreter finalises, no claim takes the mutex that keeps forks out.",
        (
            Edit(
                "shm/transient.py",
                "    return threading.RLock() if sys.is_finalizing() else _mutex\n",
                "    return _mutex\n",
            ),
        ),
        ("tests/shm/test_transient.py::test_a_claim_at_the_end_of_the_interpreter_waits_for_no_frozen_thread",),
        "did not end within",
    ),
    Removal(
        21,
        "registers-for-the-parent",
        "A child forked in the middle of a registration stores nothing into its parent's entry.",
        (
            Edit(
                "producer/registration.py",
                "                if not alive[armed]:\n"
                "                    raise ForkedError\n"
                "                words[at] = value\n",
                "                words[at] = value\n",
            ),
        ),
        ("tests/producer/test_registration.py::test_a_forked_child_stores_nothing",),
        "a store that no check of the guard precedes",
    ),
    Removal(
        26,
        "dictionary-beyond-its-slot",
        "A full dictionary closes its table, and the next table begins with an empty dictionary.",
        (
            Edit(
                "producer/open_table.py",
                "        if index >= MAX_ENTITIES or begin + len(entry) > self._writer.ring.geometry.slot_bytes:\n"
                "            return False\n",
                "",
            ),
        ),
        ("tests/faults/test_large.py::test_thousands_of_entities_need_more_space_than_a_slot_and_arrive",),
        "",
    ),
)
