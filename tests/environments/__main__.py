"""Installs rerun_mp beside packages that pin rerun-sdk, and runs a program: `python -m tests.environments [NAME ...]`.

`make test-environments` runs this. Each environment is resolved by pip and by uv, and built once under
`.venv-environments/`; PyTorch makes two of them several GB large. The package itself is built and installed anew each
time. Prints the table of docs/platforms.md.
`ENVIRONMENT_TORCH="torch==2.13.0+cpu"` names another build of PyTorch for the last one.
"""

from __future__ import annotations

import datetime
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from tests.harness.programs import ROOT

ENVIRONMENTS = ROOT / ".venv-environments"
PROGRAMS = Path(__file__).with_name("programs")


class Environment(NamedTuple):
    """An environment of a real user."""

    requirements: tuple[str, ...]
    """What the user installs beside rerun_mp."""
    program: str
    """The program in `programs`, which prints the number of rows that must be in its recording."""
    is_run_by_command: bool
    """Whether the program says `import rerun` only, and `rerun-mp run` captures it."""
    python: str = "3.11"
    """The oldest Python that the packages take."""


CHOSEN = {
    "lerobot": Environment(("lerobot[viz]==0.6.1",), "lerobot_loader.py", True, "3.12"),
    "dimos": Environment(("rerun-sdk==0.32.0",), "dimos_modules.py", True),
    "projectaria": Environment(("projectaria-tools==2.3.0", "rerun-sdk==0.33.0"), "aria_poses.py", False),
    "gradio": Environment(("gradio-rerun==0.39.0",), "gradio_stream.py", False),
    "pytorch": Environment((os.environ.get("ENVIRONMENT_TORCH", "torch"), "rerun-sdk"), "torch_training.py", False),
}
COUNT = """
import sys
from pathlib import Path
from rerun_mp.compat import versions
reader = versions.chunk_module().RrdReader
chunks = [chunk for path in Path(sys.argv[1]).glob("*.rrd") for chunk in reader(str(path)).stream()]
print(sum(chunk.num_rows for chunk in chunks if not str(chunk.entity_path).startswith("/__")))
"""


def python_of(version: str) -> str:
    """Return an interpreter of at least this version: this one, or one on the path."""
    minor = int(version.partition(".")[2])
    if sys.version_info >= (3, minor):
        return sys.executable
    for number in range(minor, 15):
        found = os.environ.get(f"PYTHON_3_{number}") or shutil.which(f"python3.{number}")
        if found and subprocess.run([found, "-c", "import venv"], capture_output=True, check=False).returncode == 0:
            return found
    raise SystemExit(f"no Python {version} or newer is found; name one: PYTHON_3_{minor}=/path/to/python")


def wheel() -> Path:
    """Build the wheel, and return its path."""
    directory = ENVIRONMENTS / "dist"
    shutil.rmtree(directory, ignore_errors=True)
    hatchling = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(directory)]
    subprocess.run(hatchling, check=True, cwd=ROOT, capture_output=True)
    (path,) = directory.glob("*.whl")
    return path


def resolved(environment: Environment, package: str, python: str) -> list[str]:
    """Return the names of the resolvers that find versions for the environment."""
    found = []
    wanted = [*environment.requirements, package]
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run([python, "-m", "venv", directory], check=True)
        pip = [f"{directory}/bin/python", "-m", "pip", "install", "--quiet", "--dry-run", *wanted]
        if subprocess.run(pip, capture_output=True, check=False).returncode == 0:
            found.append("pip")
        uv = shutil.which("uv")
        if uv is not None:
            (Path(directory) / "wanted.txt").write_text("\n".join(wanted))
            options = ["--quiet", "--python", f"{directory}/bin/python"]
            compiled = [uv, "pip", "compile", *options, f"{directory}/wanted.txt"]
            if subprocess.run(compiled, capture_output=True, check=False).returncode == 0:
                found.append("uv")
    return found


def build(name: str, environment: Environment, package: str, python: str) -> Path:
    """Return the Python of the environment. Build it if it is not there, and install the package as it is now."""
    directory = ENVIRONMENTS / name
    own = directory / "bin" / "python"
    pip: list[str | Path] = [own, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if not (directory / ".installed").exists():
        subprocess.run([python, "-m", "venv", "--clear", directory], check=True)
        subprocess.run([*pip, *environment.requirements, package], check=True)
        (directory / ".installed").touch()
    # The version stays the same from one change of the source to the next.
    subprocess.run([*pip, "--force-reinstall", "--no-deps", package], check=True)
    return own


def run(environment: Environment, python: Path) -> tuple[int, int]:
    """Run the program, and return the rows that it has logged and those of its recording."""
    with tempfile.TemporaryDirectory(prefix="rmp-env-") as place:
        path = f"{place}/run.rrd"
        command: list[str | Path] = [python, "-P", PROGRAMS / environment.program]
        if environment.is_run_by_command:
            command = [python.with_name("rerun-mp"), "run", "--save", path, "--", *command]
        else:
            command.append(path)
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
        logged = re.search(r"^logged (\d+)$", done.stdout, re.MULTILINE)
        if done.returncode or logged is None:
            raise SystemExit(f"{environment.program} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
        counted = subprocess.run([python, "-P", "-c", COUNT, place], capture_output=True, text=True, check=False)
        if counted.returncode:
            raise SystemExit(f"the recording of {environment.program} cannot be read\n{counted.stderr}")
        return int(logged[1]), int(counted.stdout)


def versions_of(environment: Environment, python: Path) -> str:
    """Return the versions of the named packages and of rerun-sdk."""
    names = [re.split(r"[\[=<>]", one, maxsplit=1)[0] for one in environment.requirements]
    names = list(dict.fromkeys([*names, "rerun-sdk"]))
    code = f"from importlib.metadata import version\nprint(', '.join(n + ' ' + version(n) for n in {names!r}))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def main(arguments: list[str]) -> int:
    """Try the named environments, or all."""
    package = f"rerun_mp[cli] @ file://{wheel()}"
    failed = 0
    print(f"{datetime.datetime.now(tz=datetime.UTC).date()}:\n", flush=True)
    print("| environment | Python | resolved by | program | rows logged, in the recording |\n|---|---|---|---|---|")
    for name in arguments or CHOSEN:
        environment = CHOSEN[name]
        python = python_of(environment.python)
        resolvers = resolved(environment, package, python)
        own = build(name, environment, package, python)
        logged, found = run(environment, own)
        failed += logged != found or not resolvers
        how = "`rerun-mp run`" if environment.is_run_by_command else "`import rerun_mp`"
        version = subprocess.run([own, "-V"], capture_output=True, text=True, check=True).stdout.split()[1]
        row = (versions_of(environment, own), version, ", ".join(resolvers), f"{environment.program}, {how}")
        print(f"| {' | '.join(row)} | {logged:,}, {found:,} |", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
