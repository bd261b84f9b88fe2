"""Floor 0: the shared-memory segment and everything that processes agree on through it.

- `layout`: the segment drawn, every word named with its writer.
- `kernel`: the three system calls that Python's own modules do not offer as needed.
- `leases`: locks that are the kernel's word on who lives.
- `segment`: create, publish, attach, rename.
- `ring`: claim, commit, seal, free on any writable buffer.
- `doorbell`: wakes a sleeping collector.

Standard library and posix_ipc only. Imports nothing from the floors above except `errors`.
"""
