"""The notebook, executed by Jupyter's own client: its workers' rows are in its recording, each once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.harness.programs import ROOT
from tests.harness.recordings import count_rows, verify


@pytest.fixture
def kernel(tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a client that runs the example in a kernel of its own."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    notebook: Any = nbformat.read(ROOT / "examples" / "notebook.ipynb", as_version=4)
    return NotebookClient(notebook, timeout=60, kernel_name="python3", resources={"metadata": {"path": tmp_path}})


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_workers_of_a_notebook_log_into_its_recording(kernel: NotebookClient, tmp_path: Path) -> None:
    expected = {f"worker/{number}": 100 for number in range(3)}
    path = tmp_path / "notebook.rrd"
    with kernel.setup_kernel():
        for _ in range(2):  # users run a cell again; `init` and `save` begin the file again
            results = [
                output
                for number, cell in enumerate(kernel.nb.cells)
                if cell.cell_type == "code"
                for output in kernel.execute_cell(cell, number).outputs
            ]
            exit_codes, counts = (output["data"]["text/plain"] for output in results)
            assert exit_codes == "[0, -9, 0]"
            assert eval(counts) == {f"/{name}": rows for name, rows in expected.items()}
            verify(path)
            assert count_rows(path) == expected
