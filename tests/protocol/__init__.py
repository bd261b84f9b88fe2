"""The protocol of the shared memory as models in Promela. spin visits every reachable state.

    make check-protocol                     every check, about 80 s of one core
    python -m tests.protocol slot order     those of two models

    slot.pml     one life of slots and producers' entries: claim under the slot's lock, commit, seal, death, the
                 collector's takeover, freeing, and an index that is reused
    chain.pml    a message over several slots: no part exists before its head does, every part becomes free again
    sweep.pml    the (sweep, taken) words, the header's store that makes a sweep done, look-ahead, resuming, totals
    session.pml  attach, end, rename and restart of a session: no process joins a session that is over, none is left
    close.pml    a table that is closed while its owner's thread appends, without a global lock of the interpreter
    order.pml    store buffers around a slot: x86-64 needs nothing; a weakly ordered machine needs three of the
                 collector's barriers, or five fences

Each model is checked as the code is, and again without each guard (`checks.py`), where a counterexample must be found.
This exposes a model that cannot fail, and a guard without use. A search that does not end counts as failed.

Limits: sizes are small, with two or three producers, two or three slots and entries, two rows, one kill and one or two
deaths of the collector. The models are written by hand after the code. A test checks that the functions that they name
exist, but not that both do the same; `tests/model` runs the code itself with deaths before any store. The models leave
out contents of frames and tables, files, sinks, settings and damage. Locks behave as the kernel documents them. In
order.pml processes die with empty store buffers, because the kernel frees a dead process's locks only after all of its
stores are visible. Weak ordering is modelled as the order in which stores arrive and loads are answered, not by the
axioms of an architecture.
"""
