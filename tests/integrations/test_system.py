"""The collector logs what each process and the machine use, and a GPU's figures if there is one."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import RunPython
from tests.harness.programs import ROOT
from tests.harness.recordings import rows_of

PROGRAMS = Path(__file__).with_name("programs")
GPU = """
from types import SimpleNamespace
NVMLError = RuntimeError
def nvmlInit(): pass
def nvmlDeviceGetCount(): return 1
def nvmlDeviceGetHandleByIndex(number): return number
def nvmlDeviceGetUtilizationRates(device): return SimpleNamespace(gpu=37)
def nvmlDeviceGetMemoryInfo(device): return SimpleNamespace(used=1 << 30)
"""
"""A stand-in for NVIDIA's module, which needs NVIDIA's driver."""


def test_the_recording_has_what_processes_and_machine_use(run_python: RunPython, tmp_path: Path) -> None:
    path = tmp_path / "run.rrd"
    (tmp_path / "pynvml.py").write_text(GPU, encoding="utf-8")
    done = run_python(PROGRAMS / "system.py", path, env={"PYTHONPATH": f"{tmp_path}:{ROOT}"}, fresh=True).check()
    found: dict[str, float] = {}
    for row in rows_of(path):
        if row.entity_path.strip("/").startswith("used/"):
            found[row.entity_path.strip("/").removeprefix("used/")] = row.components["Scalars:scalars"].as_py()[0]
    worker = int(done.stdout)
    assert 1 << 20 < found[f"processes/{worker}/rss_bytes"] < found["machine/memory_total_bytes"]
    assert found[f"processes/{worker}/threads"] >= 1
    assert found[f"processes/{worker}/descriptors"] >= 3
    assert 0 <= found["machine/cpu_percent"] <= 100
    assert found["gpus/0/utilization_percent"] == 37
    assert found["gpus/0/memory_used_bytes"] == 1 << 30
    assert {name.split("/")[1] for name in found if name.startswith("processes/")} >= {str(worker)}
