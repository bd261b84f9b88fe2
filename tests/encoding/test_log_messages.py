"""Messages for servers are those of .rrd files, and hold the same rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from rerun_mp.encoding.log_messages import batch_of, chunk_id_of, chunk_message, identity_of, rows_in_chunk
from rerun_mp.encoding.rrd_files import MessageKind, messages_of
from tests.collector.made_frames import RECORDING
from tests.collector.store.made_stores import chunks, write_file


def test_a_chunk_that_is_made_here_has_the_rows_and_the_id_of_the_one_that_rerun_writes(tmp_path: Path) -> None:
    (chunk,) = chunks([7], rows=3)
    content = write_file(tmp_path / "one.rrd", [chunk]).read_bytes()
    (written,) = [payload for kind, payload in messages_of(content) if kind == MessageKind.CHUNK]
    made = chunk_message(RECORDING, chunk.chunk_id, chunk.batch)
    assert chunk_id_of(made) == chunk_id_of(written)
    assert rows_in_chunk(made) == rows_in_chunk(written) == (chunk.entity_path, 3)
    assert batch_of(made).to_pydict() == batch_of(written).to_pydict()


def test_a_chunk_without_dictionaries_has_the_same_bytes_in_fewer_steps() -> None:
    for chunk in chunks([7, 8], rows=3):
        plain = chunk_message(RECORDING, chunk.chunk_id, chunk.batch, is_plain=True)
        assert plain == chunk_message(RECORDING, chunk.chunk_id, chunk.batch)
        assert identity_of(chunk.chunk_id) == chunk_id_of(plain)


@pytest.mark.parametrize("payload", [b"", b"\x2a\x05abc", b"\x2d\0\0\0\0"])
def test_another_payload_is_refused(payload: bytes) -> None:
    with pytest.raises((ValueError, KeyError)):
        rows_in_chunk(payload)
    assert chunk_id_of(payload) == payload
