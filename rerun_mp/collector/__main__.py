"""`python -m rerun_mp.collector guard|worker SEGMENT NONCE`, which rerun_mp starts. It is not a command for users."""

from __future__ import annotations

import os
import sys

from rerun_mp.hooks import when_loaded
from rerun_mp.hooks.detached import DETACH
from rerun_mp.hooks.forksafe_arrow import hide_pandas, make_arrow_fork_safe


def main() -> int:
    """Run the role that the command line names."""
    if sys.argv[1] == DETACH:
        if os.fork() == 0:
            os.execvp(sys.argv[2], sys.argv[2:])
        return 0
    when_loaded.install_finder()
    when_loaded.leave_rerun_alone()
    make_arrow_fork_safe()
    hide_pandas()
    role, path, nonce = sys.argv[1:4]
    if role == "guard":
        from rerun_mp.collector import guard

        return guard.main(path, nonce)
    from rerun_mp.collector import worker

    return worker.main(path, nonce)


if __name__ == "__main__":
    sys.exit(main())
