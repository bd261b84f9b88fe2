"""An app of Gradio: workers log while the app streams the recording to the page's viewer."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Iterator
from pathlib import Path

import gradio
import numpy as np
from gradio_rerun import Rerun

import rerun_mp as rr

STEPS, WORKERS = 40, 2


def blur(number: int) -> None:
    """Log the steps of one worker."""
    for step in range(STEPS):
        rr.set_time("iteration", sequence=step)
        rr.log(f"image/{number}", rr.Image(np.full((32, 32, 3), step, np.uint8)))


def stream() -> Iterator[bytes]:
    """Yield the recording piece by piece, as the app's function does."""
    pieces = rr.binary_stream()
    with multiprocessing.Pool(WORKERS) as pool:
        done = pool.map_async(blur, range(WORKERS))
        while not done.ready():
            done.wait(0.1)
            yield pieces.read() or b""
    rr.flush()
    yield pieces.read() or b""


if __name__ == "__main__":
    rr.init("gradio", send_properties=False)
    with gradio.Blocks() as app:
        viewer = Rerun(streaming=True)
        gradio.Button("Run").click(stream, outputs=[viewer])
    # What the button does, without a browser: the component takes each piece.
    # Each piece is a recording of its own: rerun's viewer takes one after the other, its reader of files only one.
    path = Path(sys.argv[1])
    for number, piece in enumerate(filter(None, stream())):
        path.with_stem(f"{path.stem}-{number}").write_bytes(piece)
    print("logged", STEPS * WORKERS)
