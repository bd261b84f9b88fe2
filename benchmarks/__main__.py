"""`python -m benchmarks`, or `make bench`: every benchmark, one after the other."""

from __future__ import annotations

import subprocess
import sys

MODULES = ("start_up", "hot_path", "frozen_viewer")

if __name__ == "__main__":
    for module in MODULES:
        print(f"== {module}", flush=True)
        subprocess.run([sys.executable, "-m", f"benchmarks.{module}"], check=True)
