"""Tests rerun_mp with each minor release of rerun-sdk: `python -m tests.versions [--short] [--lowest] [MINOR ...]`.

Each release has an environment of its own under `.venv-versions/`, which is built once. Prints the table of
docs/platforms.md: for each release, what was tried, and the tests that passed, failed and were skipped. `make
test-versions` runs this.

`--short` leaves out the comparisons with the release's own recordings, which take most of the time. `--lowest` gives
the oldest release exactly the lowest version of each requirement of the package.
"""

from __future__ import annotations

import datetime
import os
import re
import subprocess
import sys
import sysconfig
import time
import tomllib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from rerun_mp.compat import versions
from tests.harness.programs import ROOT

ENVIRONMENTS = ROOT / ".venv-versions"
LOSSES, SERVER, VIEWER, BRIDGE, PARITY = COLUMNS = (
    "killed workers",
    "gRPC server",
    "viewer",
    "code that says `import rerun`",
    "programs beside that release",
)
TESTS = (
    "tests/versions",
    "tests/compat/test_bridge.py",
    "tests/compat/test_versions.py",
    "tests/parity/test_programs.py",
)
SHORT = 3
"""Number of entries at the beginning of `TESTS` that the short form runs."""
WORKERS = os.environ.get("TEST_WORKERS", "3")


def minors() -> list[str]:
    """Return the minor releases from the oldest to the newest."""
    (major, oldest), (_, newest) = versions.OLDEST, versions.NEWEST
    return [f"{major}.{minor}" for minor in range(oldest, newest + 1)]


def lowest() -> list[str]:
    """Return each requirement of the package on this Python at the lowest version that pyproject.toml allows."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["cli"]]
    return [re.sub(r"^([\w.-]+)>=([\w.]+).*", r"\1==\2", one) for one in wanted]


def environment(minor: str, *, is_lowest: bool = False) -> Path:
    """Return the Python of a release's environment. Build it if it is not there.

    It holds rerun-sdk alone, or the lowest versions, and takes everything else from the environment of this process.
    """
    directory = ENVIRONMENTS / (f"{minor}-lowest" if is_lowest else minor)
    python = directory / "bin" / "python"
    stamp = directory / ".installed"
    if not stamp.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", directory], check=True)
        pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps"]
        # pip must not see what is in the other environment.
        subprocess.run([*pip, *(lowest() if is_lowest else [f"rerun-sdk=={minor}.*"])], check=True)
        site = next(directory.glob("lib/python*/site-packages"))
        # Named so that it comes last: rerun-sdk has a .pth of its own.
        (site / "zz_others.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
        stamp.touch()
    return python


def run(python: Path, tests: Sequence[str]) -> tuple[dict[str, Counter[str]], str]:
    """Run the tests with one release. Returns the number of tests by column and outcome, and the output of failures."""
    report = ENVIRONMENTS / "report.xml"
    options = ["-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
    if int(WORKERS) > 1:
        options.append(f"--numprocesses={WORKERS}")
    done = subprocess.run(
        [python, "-m", "pytest", *options, *tests], cwd=ROOT, capture_output=True, text=True, check=False
    )
    outcomes: dict[str, Counter[str]] = {column: Counter() for column in COLUMNS}
    for case in ElementTree.parse(report).iter("testcase"):
        kinds = {child.tag for child in case}
        outcome = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
        outcomes[column_of(case.get("classname", ""), case.get("name", ""))][outcome] += 1
    return outcomes, "" if done.returncode == 0 else done.stdout + done.stderr


def column_of(module: str, test: str) -> str:
    """Return the column of the table that a test belongs to."""
    if "parity" in module:
        return PARITY
    if "compat" in module:
        return BRIDGE
    test = test.partition("[")[0]
    return VIEWER if "viewer" in test else SERVER if "server" in test else LOSSES


def cell(outcomes: Counter[str]) -> str:
    """Return the text of a cell: the tests that passed, and those that did not."""
    if outcomes["failed"]:
        return f"**{outcomes['failed']} of {outcomes.total()} failed**"
    return f"{outcomes['passed']} passed" if outcomes["passed"] else "-"


def release_of(python: Path) -> str:
    """Return the version of rerun-sdk in an environment."""
    code = "from importlib.metadata import version; print(version('rerun-sdk'))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def main(arguments: list[str]) -> int:
    """Test the named releases, or all."""
    failed = 0
    is_short, is_lowest = "--short" in arguments, "--lowest" in arguments
    chosen = [one for one in arguments if not one.startswith("--")] or minors()
    today = datetime.datetime.now(tz=datetime.UTC).date()
    print(f"{today}, Python {sys.version.partition(' ')[0]}:\n")
    print(f"| rerun-sdk | {' | '.join(COLUMNS)} | seconds |\n|{'---|' * (len(COLUMNS) + 2)}", flush=True)
    for minor in chosen:
        begin = time.monotonic()
        at_bounds = is_lowest and minor == minors()[0]
        python = environment(minor, is_lowest=at_bounds)
        outcomes, output = run(python, TESTS[:SHORT] if is_short else TESTS)
        name = release_of(python) + (", lowest versions of all" if at_bounds else "")
        cells = " | ".join(cell(outcomes[column]) for column in COLUMNS)
        print(f"| {name} | {cells} | {time.monotonic() - begin:.0f} |", flush=True)
        if output:
            failed += 1
            sys.stderr.write(output)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
