"""The end of a store, as at the end of its session."""

from __future__ import annotations

import shutil

from rerun_mp.collector.store.recording_store import RecordingStore

__all__ = ["finish"]


def finish(store: RecordingStore) -> None:
    """Complete a store's file for good, and remove its spool, as a session's end does."""
    store.complete()
    shutil.rmtree(store.directory, ignore_errors=True)
