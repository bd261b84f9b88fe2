"""A sitecustomize.py: collector workers die of a segmentation fault at one entity's chunks, frames or table rows."""

from __future__ import annotations

import sys
from typing import Any

if "rerun_mp.collector" in sys.orig_argv and "worker" in sys.orig_argv:
    import ctypes

    from rerun_mp.collector.drain import frame_chunks, slots
    from rerun_mp.collector.drain.table_rows import copy_rows
    from rerun_mp.collector.drain.trusted_ipc import decode_frame
    from rerun_mp.collector.store import rerun_sdk

    chunks_of_batch = rerun_sdk.chunks_of_batch

    def deadly_chunk(batch: Any) -> Any:
        """Die at a chunk of an entity named "killer"."""
        if b"killer" in batch.schema.metadata[b"rerun:entity_path"]:
            ctypes.string_at(0)
        return chunks_of_batch(batch)

    def deadly_decode(frame: Any, trusted: Any) -> Any:
        """Die at a frame of an entity named "reader"."""
        if "reader" in frame.entity_path:
            ctypes.string_at(0)
        return decode_frame(frame, trusted)

    def deadly_copy(*args: Any) -> Any:
        """Die at rows of a table that belong to an entity named "reader"."""
        taken = copy_rows(*args)
        if any("reader" in taken.paths[index] for index in set(taken.entity.tolist())):
            ctypes.string_at(0)
        return taken

    rerun_sdk.chunks_of_batch = deadly_chunk
    vars(frame_chunks)["decode_frame"] = deadly_decode
    vars(slots)["copy_rows"] = deadly_copy
