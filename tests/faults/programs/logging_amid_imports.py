"""A program that logs in the middle of imports, from a profile function; prints the numbers that it logged as JSON.

Usage: logging_amid_imports.py FILE SCENE. Each row holds its number in its first four bytes, or as its position.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from itertools import count
from types import FrameType
from typing import Any

import numpy as np

import rerun_mp as rr

returned: list[int] = []
"""Numbers that were logged: their calls have returned."""
numbers = count(1)
MAX_BATCHES = 200
EVERY = 2003
"""A row is logged at the start of each module, and at each call of this number."""


def pixels(number: int) -> Any:
    """Return an image of 49 kB that holds a number."""
    image = np.zeros((128, 128, 3), np.uint8)
    image.reshape(-1)[:4] = np.frombuffer(number.to_bytes(4, "little"), np.uint8)
    return image


def log_fast() -> None:
    """Log a row that no table takes: an image, a tensor, an encoded image, or an image and a text."""
    number = next(numbers)
    image = pixels(number)
    if number % 4 == 0:
        rr.log("row", rr.Image(image))
    elif number % 4 == 1:
        rr.log("row", rr.Tensor(image))
    elif number % 4 == 2:
        rr.log("row", rr.EncodedImage(contents=image.tobytes(), media_type="image/jpeg"))
    else:
        rr.log("row", rr.Image(image), rr.TextLog("also"))
    returned.append(number)


def log_halves() -> None:
    """Log a tensor of float16, alone or with a text."""
    number = next(numbers)
    more = [rr.TextLog("also")] if number % 2 else []
    rr.log("row", rr.Tensor(np.full((2, 2), number, np.float16)), *more)
    returned.append(number)


def send_columns() -> None:
    """Send two rows."""
    number = next(numbers)
    times = rr.TimeColumn("number", sequence=[number, number])
    rr.send_columns("row", [times], rr.Scalars.columns(scalars=[float(number)] * 2))
    returned.append(number)


def log_batch() -> None:
    """Log a row of an object that needs pyarrow to encode it."""
    number = next(numbers)
    rr.log("row", Batches())
    returned.append(number)


class Batches:
    """An object whose components need pyarrow."""

    def as_component_batches(self) -> list[Any]:
        """Return one component."""
        return [rr.AnyBatchValue("kept", [1])]


def logger_of_batches() -> Callable[[], None]:
    """Return a function that logs a row of rerun's own objects, or one whose types rerun's registry knows."""
    from rerun import ComponentDescriptor
    from rerun.components import Position2DBatch

    descriptor = ComponentDescriptor("Points2D:positions")
    batches = [Position2DBatch([[float(number), 0.0]]).described(descriptor) for number in range(MAX_BATCHES)]

    rr.AnyValues(number=0)

    def log() -> None:
        number = next(numbers)
        rr.log("row", [batches[number]] if number % 2 else rr.AnyValues(number=number))
        returned.append(number)

    return log


def interrupted(action: Callable[[], None], log: Callable[[], None]) -> None:
    """Call `action`, and log in the middle of the imports that it makes."""
    calls = count(1)

    def profile(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and (frame.f_code.co_name == "<module>" or next(calls) % EVERY == 0):
            log()

    sys.setprofile(profile)
    try:
        action()
    finally:
        sys.setprofile(None)


def import_pyarrow() -> None:
    """Load pyarrow."""
    import pyarrow  # noqa: F401


def import_rerun() -> None:
    """Load rerun."""
    import rerun  # noqa: F401


def main() -> None:
    """Play one scene."""
    path, scene = sys.argv[1:]
    rr.init("rerun_mp_amid_imports")
    rr.save(path)
    log_fast()
    assert "pyarrow" not in sys.modules, "the first image of a program has loaded pyarrow"
    if scene == "pyarrow":
        interrupted(import_pyarrow, log_fast)
    elif scene == "halves amid pyarrow":
        interrupted(import_pyarrow, log_halves)
    elif scene == "halves amid rerun":
        interrupted(import_rerun, log_halves)
    elif scene == "columns":
        interrupted(import_pyarrow, send_columns)
    elif scene == "batches":
        interrupted(import_pyarrow, log_batch)
    elif scene == "rerun":
        interrupted(import_rerun, log_fast)
    elif scene == "encoder":
        import_pyarrow()
        interrupted(log_fast, log_fast)
        assert "rerun" not in sys.modules, "an image has loaded rerun"
    else:
        log = logger_of_batches()
        interrupted(log, log)
    if scene in ("columns", "batches"):
        print(json.dumps([len(returned) - 1, rr.statistics().refused_here]))
        return
    log_fast()
    print(json.dumps(returned))


if __name__ == "__main__":
    main()
