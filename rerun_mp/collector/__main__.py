"""`python -m rerun_mp.collector guard|worker SEGMENT NONCE`: started by rerun_mp, not by people."""

from __future__ import annotations

import sys

from rerun_mp.hooks import when_loaded as imports


def main() -> int:
    """Run the role that the command line names."""
    imports.leave_rerun_alone()
    role, path, nonce = sys.argv[1:4]
    if role == "guard":
        from rerun_mp.collector import guard

        return guard.main(path, nonce)
    from rerun_mp.collector import worker

    return worker.main(path, nonce)


if __name__ == "__main__":
    sys.exit(main())
