"""The notebooks, executed by Jupyter's own clients: each row of their workers is in the recording, or shown, once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.manager import start_new_kernel
from nbclient import NotebookClient

from tests.harness.programs import ROOT, wait_until
from tests.harness.recordings import count_rows, verify
from tests.harness.requirements import need_field


@pytest.fixture
def jupyter(tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let kernels keep their files in the test's directories."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")


@pytest.fixture
def kernel(tmp_path: Path, jupyter: None) -> Any:
    """Return a client that runs the example in a kernel of its own."""
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


class Frontend:
    """Runs cells in a kernel, and plays the part of the browser that shows Rerun's widget."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.shown: list[bytes] = []
        """The .rrd streams that the viewer was sent."""

    def run(self, source: str) -> None:
        """Run a cell to its end."""
        request = self._client.execute(source)
        while not self._answer(self._client.get_iopub_msg(timeout=60), request):
            pass

    def _answer(self, message: Any, request: str) -> bool:
        """Take a message of the kernel. Returns whether it ends the cell of `request`."""
        kind, content = message["msg_type"], message["content"]
        assert kind != "error", content
        if kind == "comm_open" and "Viewer" in str(content["data"]["state"].get("_anywidget_id")):
            data = {"method": "custom", "content": "ready"}
            ready = self._client.session.msg("comm_msg", {"comm_id": content["comm_id"], "data": data})
            self._client.shell_channel.send(ready)
        elif kind == "comm_msg" and "rrd" in str(content["data"].get("content")):
            self.shown += [bytes(buffer) for buffer in message["buffers"]]
        is_idle = kind == "status" and content["execution_state"] == "idle"
        return bool(is_idle and message["parent_header"].get("msg_id") == request)


@pytest.fixture
def frontend(tmp_path: Path, jupyter: None) -> Iterator[Frontend]:
    """Return a front end with a kernel of its own."""
    need_field("rerun_notebook")
    manager, client = start_new_kernel(kernel_name="python3", cwd=str(tmp_path))
    try:
        yield Frontend(client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel()


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
    "ignore:RRD file has no footer",  # as for every viewer that follows a recording
)
def test_the_viewer_in_a_notebook_gets_the_rows_of_a_pool(frontend: Frontend, tmp_path: Path) -> None:
    notebook: Any = nbformat.read(ROOT / "examples" / "live_notebook.ipynb", as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            frontend.run(cell.source)

    def rows() -> dict[str, int]:
        frontend.run("pass")
        shown = tmp_path / "shown.rrd"
        found: Counter[str] = Counter()
        for content in frontend.shown:
            shown.write_bytes(content)
            found += count_rows(shown)
        return {path: number for path, number in found.items() if path.startswith("waves/")}

    wait_until(lambda: rows() == {f"waves/{number}": 100 for number in range(4)}, what="all rows in the viewer")
