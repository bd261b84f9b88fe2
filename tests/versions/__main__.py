"""Tests rerun_mp with each minor release of rerun-sdk: `python -m tests.versions [--short] [MINOR ...]`.

Each release has an environment of its own under `.venv-versions/`, which is built once. Prints a table: the release,
the tests that passed and failed, and the seconds. `make test-versions` runs this; docs/platforms.md holds the table.
`--short` leaves out the comparisons with the release's own recordings, which take most of the time.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rerun_mp.compat import versions
from tests.harness.programs import ROOT

ENVIRONMENTS = ROOT / ".venv-versions"
TESTS = (
    "tests/versions",
    "tests/compat/test_bridge.py",
    "tests/compat/test_versions.py",
    "tests/fast",
    "tests/parity/test_programs.py",
)
"""Short losses, gRPC, the bridge, and the fast archetypes and whole programs beside the release's own."""
SHORT = 3
"""Number of entries at the beginning of `TESTS` that the short form runs."""
DONE = re.compile(r"(\d+) (passed|failed|errors?|skipped)")


def minors() -> list[str]:
    """Return the minor releases from the oldest to the newest."""
    (major, oldest), (_, newest) = versions.OLDEST, versions.NEWEST
    return [f"{major}.{minor}" for minor in range(oldest, newest + 1)]


def environment(minor: str) -> Path:
    """Return the Python of a release's environment. Build it if it is not there."""
    directory = ENVIRONMENTS / minor
    python = directory / "bin" / "python"
    stamp = directory / ".installed"
    if not stamp.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", directory], check=True)
        pip: list[str | Path] = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        lock = "".join(
            line for line in (ROOT / "constraints.txt").read_text().splitlines(keepends=True) if "rerun" not in line
        )
        constraints = directory / "constraints.txt"
        constraints.write_text(lock)
        command = [*pip, "--constraint", constraints, f"rerun-sdk=={minor}.*", "--editable", f"{ROOT}[test,examples]"]
        subprocess.run(command, check=True, cwd=ROOT)
        stamp.touch()
    return python


def run(minor: str, tests: Sequence[str]) -> tuple[dict[str, int], float, str]:
    """Run the tests with one release. Returns the number of tests by outcome, the seconds, and the output."""
    python = environment(minor)
    begin = time.monotonic()
    done = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--numprocesses=3", *tests],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    outcomes = {kind: int(number) for number, kind in DONE.findall(done.stdout.rpartition("\n=")[2] or done.stdout)}
    return outcomes, time.monotonic() - begin, "" if done.returncode == 0 else done.stdout + done.stderr


def main(arguments: list[str]) -> int:
    """Test the named releases, or all."""
    failed = 0
    print("| rerun-sdk | passed | failed | skipped | seconds |\n|---|---|---|---|---|", flush=True)
    is_short = "--short" in arguments
    chosen = [one for one in arguments if one != "--short"] or minors()
    for minor in chosen:
        outcomes, secs, output = run(minor, TESTS[:SHORT] if is_short else TESTS)
        bad = outcomes.get("failed", 0) + outcomes.get("error", 0) + outcomes.get("errors", 0)
        print(
            f"| {minor} | {outcomes.get('passed', 0)} | {bad} | {outcomes.get('skipped', 0)} | {secs:.0f} |", flush=True
        )
        if output:
            failed += 1
            sys.stderr.write(output)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
