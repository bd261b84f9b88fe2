"""pytest: a fixture that captures the rows of a test and its processes, and keeps the file if the test fails.

In `conftest.py`::

    pytest_plugins = ["rerun_mp.integrations.pytest_plugin"]

The fixture `rerun_recording` is the active recording during the test. The plugin keeps the recordings of failed tests
in the directory `--rerun-dir`, by default `rerun-failures`, under the test's name; with `--rerun-keep` it keeps all of
them. It works under pytest-xdist.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

import rerun_mp as rr

__all__ = ["pytest_addoption", "pytest_runtest_makereport", "rerun_recording"]

_failed = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("rerun", "recordings of tests")
    group.addoption("--rerun-dir", default="rerun-failures", help="where recordings of failed tests are kept")
    group.addoption("--rerun-keep", action="store_true", help="keep the recordings of all tests")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Generator[None, Any, Any]:  # noqa: ARG001
    """Remember failed tests for the fixture."""
    report = yield
    if report.failed:
        item.stash[_failed] = True
    return report


@pytest.fixture
def rerun_recording(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[rr.RecordingStream, None, None]:
    """Capture the rows of this test and its processes, and keep the .rrd file if the test fails."""
    name = re.sub(r"[^\w.-]+", "_", request.node.nodeid).strip("_")
    path = tmp_path / f"{name[-150:]}.rrd"
    before = rr.get_global_data_recording()
    recording = rr.RecordingStream(f"pytest {request.node.nodeid}", recording_id=uuid.uuid4(), make_default=True)
    recording.save(path)
    try:
        yield recording
    finally:
        rr.set_global_data_recording(before)
        recording.disconnect()
        if request.node.stash.get(_failed, False) or request.config.getoption("--rerun-keep"):
            kept = Path(request.config.rootpath, request.config.getoption("--rerun-dir"))
            kept.mkdir(parents=True, exist_ok=True)
            place = kept / path.name
            place.write_bytes(path.read_bytes())
            request.node.add_report_section("teardown", "rerun", f"recording kept: {place}")
