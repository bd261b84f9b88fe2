"""Launchers: `subprocess`, torchrun, mpirun, or a shell script in between.

A child finds its session in the environment and needs nothing else. If a program builds its children's environment
itself, add `environment()` to it::

    subprocess.run(command, env={"PATH": "/usr/bin", **environment()})

In the children `workers.identify` reads the rank that the launcher gave them.

The ranks of a launcher's job need no such variable: on one host they are one session (`session.jobs`).
"""

from __future__ import annotations

import os

from rerun_mp.errors import SessionError
from rerun_mp.protection import is_protected

__all__ = ["environment"]


def environment() -> dict[str, str]:
    """Return the environment variables that make a child join this process's session.

    Where rerun_mp is plain rerun there are none.

    Raises
    ------
    SessionError
        If this process is in no session; call `rerun_mp.init` first.

    Examples
    --------
    >>> import subprocess
    >>> subprocess.run(["worker"], env={"PATH": "/usr/bin", **environment()})  # doctest: +SKIP
    """
    if not is_protected():
        return {}
    from rerun_mp.encoding.ids import ENVIRONMENT_VARIABLE
    from rerun_mp.session import ancestry, current

    joined = current.session()
    if joined is None:
        raise SessionError("this process is in no session that a child could join; call rerun_mp.init() first")
    found = {ENVIRONMENT_VARIABLE: joined.name.text}
    scope = os.environ.get(ancestry.ENVIRONMENT_VARIABLE)
    return found if scope is None else {**found, ancestry.ENVIRONMENT_VARIABLE: scope}
