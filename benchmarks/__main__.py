"""`python -m benchmarks`, or `make bench`: every benchmark. Options go to `hot_path`, which then runs alone."""

from __future__ import annotations

import subprocess
import sys

from tests.harness.viewers import vulkan_missing


def main(options: list[str]) -> int:
    """Run all benchmarks, also after one has failed. Return the number of failures."""
    receiver = "server" if vulkan_missing() else "viewer"
    commands = [["start_up"], ["whole_programs"], ["usual"], ["hot_path"], ["frozen_viewer", "--receiver", receiver]]
    failed = 0
    for module, *arguments in [["hot_path", *options]] if options else commands:
        print(f"## {module}\n", flush=True)
        command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
        failed += subprocess.run(command, check=False).returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
