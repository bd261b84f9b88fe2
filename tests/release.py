"""Installs the wheel in dist/ alone and runs a program: `python -m tests.release [PYTHON ...]`; `make dist` runs this.

Each interpreter (by default the versions 3.11 to 3.14 that are installed) gets an empty environment. pip may compile
nothing there, and no compiler can be found. The program of the README must leave all of its rows.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.harness.programs import ROOT

VERSIONS = ("3.11", "3.12", "3.13", "3.14")
ROWS = 800
"""Rows of the README's first program."""
COUNT = """
import sys
from rerun_mp.compat import versions
chunks = versions.chunk_module().RrdReader(sys.argv[1]).stream()
print(sum(chunk.num_rows for chunk in chunks if str(chunk.entity_path).startswith("/task_")))
"""


def readme_program() -> str:
    """Return the first program of the README."""
    code: str = re.findall(r"```python\n(import multiprocessing.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[0]
    return code


def interpreters() -> list[str]:
    """Return the interpreters that really run; a shim may only print an error."""
    found = []
    for version in VERSIONS:
        name = shutil.which(f"python{version}")
        if name is not None:
            tried = subprocess.run([name, "-c", "import venv, ensurepip"], capture_output=True, check=False)
            found += [name] if tried.returncode == 0 else []
    return found


def try_wheel(python: str, wheel: Path) -> str:
    """Install the wheel in an empty environment, run the README's program, and return the versions.

    Raises
    ------
    AssertionError
        If the recording lacks rows.
    """
    with tempfile.TemporaryDirectory(prefix="rmp-release-") as directory:
        place = Path(directory)
        subprocess.run([python, "-m", "venv", place / "venv"], check=True)
        own = place / "venv" / "bin" / "python"
        environment = {"PATH": str(own.parent), "HOME": directory, "TMPDIR": directory}
        pip: list[str | Path] = [
            own,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--only-binary=:all:",
        ]
        subprocess.run([*pip, wheel], check=True, cwd=place)
        (place / "program.py").write_text(readme_program())
        # Isolated: the sources beside the working directory must not be found.
        subprocess.run([own, "-P", "program.py"], check=True, cwd=place, env=environment)
        count: list[str | Path] = [own, "-P", "-c", COUNT, "my_app.rrd"]
        rows = int(subprocess.run(count, check=True, cwd=place, env=environment, capture_output=True, text=True).stdout)
        if rows != ROWS:
            raise AssertionError(f"{rows} rows of {ROWS}")
        told = subprocess.run(
            [own, "-P", "-c", "import rerun_mp; print(rerun_mp.version())"],
            check=True,
            cwd=place,
            env=environment,
            capture_output=True,
            text=True,
        )
        return told.stdout.strip()


def main(arguments: list[str]) -> int:
    """Try the wheel with the named interpreters."""
    (wheel,) = (ROOT / "dist").glob("*.whl")
    for python in arguments or interpreters():
        print(f"{python}: {ROWS} rows; {try_wheel(python, wheel)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
