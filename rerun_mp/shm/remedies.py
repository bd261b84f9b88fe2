"""What a user can do about an error of the system. Any process and thread may call."""

from __future__ import annotations

import errno

__all__ = ["remedy"]

PERMISSION = (
    "This process may not do that. If it has changed its user, log its first row before the change; if a sandbox "
    "refuses the call, allow it."
)
REMEDIES = {
    errno.EMFILE: "This process has no free descriptor: close files, or raise its limit (ulimit -n).",
    errno.ENFILE: "The machine has no free file handle: close files, or raise the limit (sysctl fs.file-max).",
    errno.EACCES: PERMISSION,
    errno.EPERM: PERMISSION,
    errno.ENOSYS: "The kernel or a sandbox lacks that system call: allow it there.",
    errno.ENOSPC: "Make room on that disk.",
    errno.EDQUOT: "Make room within this user's quota on that disk.",
    errno.EFBIG: "Raise the limit of file sizes (ulimit -f).",
    errno.EAGAIN: "Raise the limit of processes (ulimit -u).",
    errno.ENOMEM: "Free memory, or raise the limit of this process (ulimit -v) or of its container.",
    errno.ENOLCK: "The kernel has no room for another file lock.",
    errno.EROFS: "That file system is read-only: choose another place.",
    errno.ENOENT: "It was never made, or another program has removed it.",
}
"""What to do, by the number of the system's error."""


def remedy(error: OSError) -> str:
    """Return one sentence on what to do about an error of the system, or on what to check."""
    return REMEDIES.get(error.errno or 0, "Check the limits of this process (ulimit -a) and of its sandbox.")
