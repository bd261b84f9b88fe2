"""`python -m rerun_mp.collector guard|worker SEGMENT NONCE`: rerun_mp starts this, people do not."""

from __future__ import annotations

import sys

from rerun_mp.hooks import when_loaded


def main() -> int:
    """Run the role that the command line names."""
    when_loaded.leave_rerun_alone()
    role, path, nonce = sys.argv[1:4]
    if role == "guard":
        from rerun_mp.collector import guard

        return guard.main(path, nonce)
    from rerun_mp.collector import worker

    return worker.main(path, nonce)


if __name__ == "__main__":
    sys.exit(main())
