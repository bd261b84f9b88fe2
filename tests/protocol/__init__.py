"""The protocol of the shared memory as models in Promela, of which spin visits every state that can be reached.

    make check-protocol                     every check, about 80 s of one core
    python -m tests.protocol slot order     those of two models

    slot.pml     one life of slots and producers' entries: claim under the slot's lock, commit, seal, death, the
                 collector's taking over, freeing, and an index that is used again
    chain.pml    a message over several slots: nothing of it exists before its head does, every part comes back
    sweep.pml    the (sweep, taken) words, the header's store that makes a sweep done, look-ahead, resuming, totals
    session.pml  attach, end, rename and restart of a session: nobody joins one that is over, none is left over
    order.pml    store buffers around a slot: x86-64 needs no fence; a weakly ordered machine needs five

Each model is checked as the code is, and again with every guard taken away (`checks.py`), where a counterexample must
be found: so a model that cannot fail is noticed, and so is a guard that nothing needs. A search that does not end
counts as failed.

What this does not cover. Sizes are small: two or three producers, two or three slots and entries, two rows, one kill
and one or two deaths of the collector. The models are written by hand after the code; that they name its functions,
and that these exist, is tested, that they say the same is not: that is for the tests that run the code itself with
deaths after any store. Contents of frames and tables, files, sinks, settings and damage are not in them. Locks are
the kernel's, as documented. In order.pml processes die with empty store buffers, because the kernel gives locks back
only after all of a process's stores are visible. Weak ordering is modelled as the order in which stores arrive and
loads are answered, not as any architecture's axioms; and since the code has no fences, aarch64 is argued and neither
supported nor tested.
"""
