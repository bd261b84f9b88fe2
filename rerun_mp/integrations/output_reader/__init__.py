"""The output reader: a process that logs the lines which a program and its children write.

It is two processes, as a collector is: the keeper holds the sockets and replaces a reader that was killed, and the
reader logs. Both ignore signals that end programs. The reader takes part in the session, and ends when the last writer
has ended. When the program stops the capture and others still write, the reader leaves the session, so that the
program's files can be complete at its end; the next output starts a reader that joins late.
"""

from __future__ import annotations

__all__ = ["CONTINUES", "FIRST_DESCRIPTOR", "HAS_PAUSED", "READY", "STOP"]

FIRST_DESCRIPTOR = 20
"""The reader's descriptor of the control socket. Those of the captured sockets follow."""
READY = b"r"
"""The reader's message that it reads."""
STOP = b"s"
"""The program's request to log everything written until now."""
CONTINUES = b"c"
"""The keeper's answer if other processes still write. Otherwise it ends, which closes the control socket."""
HAS_PAUSED = 3
"""Exit status of a reader that has logged everything until now, while other processes still write."""
