"""Chromium without a window, driven over its debugging pipe: it shows a page and returns the pixels."""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Browser", "browser", "browser_missing"]

READS_FROM, WRITES_TO = 3, 4
"""Chromium's descriptors for commands and answers; each is JSON that ends with a zero byte."""


def browser_missing() -> str | None:
    """Return the name of the missing program, or None."""
    return None if shutil.which("chromium") else "Chromium (Debian: chromium)"


class Browser:
    """A running browser that shows one page."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands, self._answers = commands, answers
        self._buffer = b""
        self._number = 0
        self._session: str | None = None

    def show(self, url: str) -> None:
        """Open a page. It goes on loading after the return."""
        target = self._call("Target.createTarget", url=url)["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def screenshot(self) -> bytes:
        """Return the page as a PNG."""
        return base64.b64decode(self._call("Page.captureScreenshot", format="png")["data"])

    def pixels(self) -> npt.NDArray[np.uint8]:
        """Return the page's RGB pixels, of shape (height, width, 3)."""
        from PIL import Image

        return np.asarray(Image.open(io.BytesIO(self.screenshot())).convert("RGB"))

    def _call(self, method: str, **params: object) -> dict[str, Any]:
        self._number += 1
        message: dict[str, object] = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                result: dict[str, Any] = answer["result"]
                return result

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            read = os.read(self._answers, 1 << 16)
            assert read, "the browser has ended"
            self._buffer += read
        message, _, self._buffer = self._buffer.partition(b"\0")
        decoded: dict[str, Any] = json.loads(message)
        return decoded


@contextmanager
def browser(directory: Path) -> Iterator[Browser]:
    """Run a browser, with its profile in `directory`, that draws without a graphics card."""
    commands_reader, commands = os.pipe()
    answers, answers_writer = os.pipe()
    arguments = [
        "--headless=new",
        "--no-sandbox",
        "--no-first-run",
        "--disable-gpu-sandbox",
        "--use-angle=swiftshader",
        "--enable-unsafe-swiftshader",
        "--window-size=640,480",
        "--remote-debugging-pipe",
        f"--user-data-dir={directory / 'profile'}",
    ]
    # A shell gives the pipes the numbers that Chromium wants. Python would need code between fork and exec.
    script = f'exec "$@" {READS_FROM}<&{commands_reader} {WRITES_TO}>&{answers_writer}'
    with (directory / "chromium.log").open("wb") as log:
        process = subprocess.Popen(
            ["bash", "-c", script, "bash", "chromium", *arguments],
            pass_fds=[commands_reader, answers_writer],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            process_group=0,
        )
    os.close(commands_reader)
    os.close(answers_writer)
    try:
        yield Browser(commands, answers)
    finally:
        os.close(commands)
        os.close(answers)
        process.kill()
        process.wait()
