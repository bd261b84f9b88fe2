"""Files that hold other recordings besides the one that a store writes: `save(mode=...)` keeps them.

While the store writes, the file at the path stays as it is, and the parts lie beside it under hidden names. If a
recording of the file goes on, the completion merges its chunks with those of the parts. Then it writes the messages of
the other recordings and those of the complete part to a new file, which gets the path. So whenever the collector is
killed, the former file or the new one lies at the path. Used by the store, in the worker's main thread.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rerun_mp.collector.store.parts import Part
from rerun_mp.collector.store.rerun_files import read_file
from rerun_mp.encoding.rrd_files import HEADER_SIZE
from rerun_mp.encoding.rrd_stores import Store, compose, prelude_of_only_recording, stores_in
from rerun_mp.errors import CorruptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rerun_mp.collector.store import rerun_sdk as sdk
    from rerun_mp.encoding.frames import RecordingKey

__all__ = ["chunks_of", "with_others"]


def chunks_of(path: str, recording: RecordingKey, hidden: str) -> Iterator[sdk.Chunk]:
    """Yield the chunks of one recording of the file at `path`. If the file has others, a copy is made at `hidden`.

    Raises
    ------
    CorruptionError, OSError
        If the file cannot be read or copied.
    """
    own = Store(False, *recording)
    if own not in stores_in(path):
        return
    prelude = prelude_of_only_recording(path)
    if prelude is None:
        _composed([(path, own.__eq__)], hidden, write_footer=False, announces_once=True)
        path, prelude = hidden, prelude_of_only_recording(hidden)
    if prelude is None:
        raise CorruptionError(f"{path} does not begin recording {recording.recording_id!r} before its rows")
    try:
        yield from read_file(path, prelude=prelude)
    except (RuntimeError, ValueError) as error:
        raise CorruptionError(f"rerun-sdk cannot read {path}: {error}") from error


def with_others(
    path: str, whole: Part, recording: RecordingKey, hidden: str, *, write_footer: bool, keeps_blueprints: bool
) -> Part:
    """Return a part that also holds the other recordings of the file at `path`. It is made at `hidden`.

    Returns `whole` if there are none, or if it holds them already.

    Parameters
    ----------
    whole
        The complete part with the chunks of `recording`.
    keeps_blueprints
        Whether the file's blueprints of the application stay; else those of `whole` take their place.

    Raises
    ------
    CorruptionError, OSError
        If a file cannot be read or written.
    """
    own = Store(False, *recording)

    def is_kept(store: Store) -> bool:
        is_former = store.is_blueprint and not keeps_blueprints and store.application_id == own.application_id
        return store != own and not is_former

    if whole.begin or not any(map(is_kept, stores_in(path))):
        return whole
    made = _composed([(path, is_kept), (whole.path, _all)], hidden, write_footer=write_footer)
    part = Part(whole.number, hidden, "file", made[1] + whole.prelude - HEADER_SIZE, begin=made[1], is_ended=True)
    part.first, part.chunks, part.carried, part.repeated = whole.first, whole.chunks, whole.carried, whole.repeated
    part.identify()
    return part


def _composed(
    sources: list[tuple[str, Callable[[Store], bool]]], hidden: str, *, write_footer: bool, announces_once: bool = False
) -> list[int]:
    try:
        return compose(sources, hidden, write_footer=write_footer, announces_once=announces_once)
    except (CorruptionError, OSError):
        if os.path.exists(hidden):
            os.unlink(hidden)
        raise


def _all(store: Store) -> bool:
    del store
    return True
