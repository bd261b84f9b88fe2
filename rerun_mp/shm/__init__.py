"""The segment in shared memory, and everything that processes agree on through it.

- `layout`: the segment drawn, every word with its writer.
- `kernel`: the system calls that Python's own modules do not offer as this package needs them.
- `leases`: locks through which the kernel tells which processes live.
- `transient`: descriptors that must not survive into a forked child.
- `segment`: create, publish, attach, rename. `survey`: all segments of this user.
- `ring`, `writer`: claim, commit, seal, take and free slots, on any writable buffer.
- `doorbell`: wakes a sleeping collector, by one of `semaphores`.
- `introductions`: tell the collector about new producers.

Needs only the standard library and posix_ipc. Imports no other package of rerun_mp, except `errors`.
"""
