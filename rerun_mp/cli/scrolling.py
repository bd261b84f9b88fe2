"""Shows tables that are longer than the screen: keys move the part that is seen. Used by the main thread."""

from __future__ import annotations

import os
import select
import sys
import time
from typing import TYPE_CHECKING, Any

from rich.segment import Segment

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

__all__ = ["Keys", "Scrolled"]

PAGE = 10
"""Lines that a page key moves."""
MOVES = {b"\x1b[B": 1, b"j": 1, b"\x1b[A": -1, b"k": -1, b" ": PAGE, b"\x1b[6~": PAGE, b"b": -PAGE, b"\x1b[5~": -PAGE}
"""Keys -> lines. Arrows and j, k move a line; space, b and the page keys move a page."""
QUIT = b"q"


class Scrolled:
    """A part of a renderable, as high as the screen."""

    def __init__(self, whole: RenderableType, first: int) -> None:
        self._whole = whole
        self.first = first
        """First line that is shown. Rendering corrects it so that the last line stays on the screen."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the lines of the part, and how many lines are above and below it."""
        lines = console.render_lines(self._whole, options.update(height=None), pad=False)
        height = options.max_height
        if len(lines) > height:
            height -= 1
        self.first = max(0, min(self.first, len(lines) - height))
        for line in lines[self.first : self.first + height]:
            yield from line
            yield Segment.line()
        below = len(lines) - self.first - height
        if height < options.max_height and (below > 0 or self.first):
            yield Segment(f"{self.first} lines above, {max(0, below)} below: arrows, space and b move, q ends")


class Keys:
    """Keys pressed on the terminal, if there is one. A context manager that restores the terminal."""

    def __init__(self) -> None:
        self._before: list[Any] | None = None

    def __enter__(self) -> Keys:
        if sys.stdin.isatty() and sys.stdout.isatty():
            import termios
            import tty

            self._before = termios.tcgetattr(sys.stdin)
            tty.setcbreak(sys.stdin)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._before is not None:
            import termios

            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._before)

    def wait(self, secs: float) -> int | None:
        """Wait so long, or until a key is pressed. Returns the lines by which to move; None: the user quits."""
        if self._before is None:
            time.sleep(secs)
            return 0
        if not select.select([sys.stdin], [], [], secs)[0]:
            return 0
        pressed = os.read(sys.stdin.fileno(), 64)
        return None if pressed in (QUIT, b"") else MOVES.get(pressed, 0)
