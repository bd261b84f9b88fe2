"""`python -m benchmarks`, or `make bench`: every benchmark. Options go to `hot_path`, which then runs alone.

All that is printed is also in `artifacts/bench.md`, the figures are in `artifacts/bench.json` (`figures`), and
`artifacts/bench.svg` is drawn from them (`drawing`).
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks import drawing
from tests.harness.viewers import vulkan_missing

PRINTED, RESULTS = Path("artifacts/bench.md"), Path("artifacts/bench.json")


def main(options: list[str]) -> int:
    """Run all benchmarks, also after one has failed. Return the number of failures."""
    receiver = "server" if vulkan_missing() else "viewer"
    kept = ["--results", str(RESULTS)]
    commands = [
        ["start_up"],
        ["whole_programs", *kept],
        ["usual", *kept],
        ["hot_path", *kept],
        ["frozen_viewer", "--receiver", receiver],
    ]
    PRINTED.parent.mkdir(exist_ok=True)
    failed, printed = 0, ""
    for module, *arguments in [["hot_path", *options]] if options else commands:
        heading = f"## {module}\n\n"
        print(heading, end="", flush=True)
        printed += heading
        command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as benchmark:
            assert benchmark.stdout is not None
            for line in benchmark.stdout:
                print(line, end="", flush=True)
                printed += line
        failed += benchmark.returncode != 0
    if not options:
        PRINTED.write_text(printed, encoding="utf-8")
        drawing.main(str(RESULTS), str(RESULTS.with_suffix(".svg")))
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
