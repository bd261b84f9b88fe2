r"""Entity paths: from any spelling to the canonical one that rerun uses, such as `/world/my\ image`.

Rows are grouped by entity, so `"a/b"`, `"/a/b"` and `["a", "b"]` must become the same bytes. This module splits paths
of letters, digits, `_`, `-` and `.`; rerun's own parser takes any other path (escapes, spaces, punctuation), so that
its rules and warnings hold. Each path is parsed once and then remembered.

Any thread may call this. A forked child inherits what is remembered.
"""

from __future__ import annotations

import re

from rerun_mp.compat import versions
from rerun_mp.errors import InvalidArgumentError

__all__ = ["canonical_entity_path"]

MAX_PATH_BYTES = 0xFFFF
"""Maximum bytes of a path, because a frame holds its length in a u16."""

TUID = {"ARROW:extension:name": "rerun.datatypes.TUID", "ARROW:extension:metadata": '{"namespace":"row"}'}
"""Metadata of a column of row ids."""
MAX_REMEMBERED = 1 << 16
"""Maximum number of remembered paths; all are forgotten beyond that."""

PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./")
"""Characters of which a path needs no regular expression, whose code is cold in a forked child."""
_PLAIN_PART = re.compile(r"[\w.-]*")
_remembered: dict[str, bytes] = {}


def canonical_entity_path(entity_path: str | list[object]) -> bytes:
    r"""Return the canonical spelling of `entity_path`, in UTF-8.

    Parameters
    ----------
    entity_path
        A string with special characters escaped, split at unescaped slashes; or a list of unescaped parts, each
        taken through `str()`. See <https://www.rerun.io/docs/concepts/logging-and-ingestion/entity-path>.

    Raises
    ------
    TypeError
        If it is neither a `str` nor a `list`.
    InvalidArgumentError
        If it is longer than 65,535 bytes.
    UnicodeEncodeError
        If it holds lone surrogates.

    Examples
    --------
    >>> canonical_entity_path("a//b/") == canonical_entity_path(["a", "b"]) == b"/a/b"
    True
    >>> canonical_entity_path(["my image!"])
    b'/my\\ image\\!'
    """
    if type(entity_path) is str:
        known = _remembered.get(entity_path)
        if known is not None:
            return known
        canonical = _parse(entity_path)
    elif isinstance(entity_path, list):
        parts = [text for text in map(str, entity_path) if text]
        if all(_is_plain(part) for part in parts):
            return _checked("/" + "/".join(parts))
        import rerun_bindings

        # Rerun escapes the parts first and parses the result when it is logged.
        return canonical_entity_path(str(rerun_bindings.new_entity_path(list(map(str, entity_path)))))
    elif isinstance(entity_path, str):
        return canonical_entity_path(str(entity_path))
    else:
        raise TypeError(f"argument 'entity_path': '{type(entity_path).__name__}' object is not an instance of 'str'")
    encoded = _checked(canonical)
    if len(_remembered) >= MAX_REMEMBERED:
        _remembered.clear()
    _remembered[entity_path] = encoded
    return encoded


def _parse(entity_path: str) -> str:
    if PLAIN.issuperset(entity_path):
        return "/" + "/".join(filter(None, entity_path.split("/")))
    parts = [part for part in entity_path.split("/") if part]
    if all(_is_plain(part) for part in parts):
        return "/" + "/".join(parts)
    import pyarrow as pa
    from rerun_bindings import ChunkInternal

    # A chunk in the form of the collector's, which every release of rerun-sdk takes: it names its parsed path.
    row_id = pa.field("rerun.controls.RowId", pa.binary(16), nullable=False, metadata={"rerun:kind": "control", **TUID})
    component = pa.field("x", pa.list_(pa.null()), metadata={"rerun:kind": "data", "rerun:component": "x"})
    metadata = {"rerun:entity_path": entity_path, "rerun:id": "0" * 32, "sorbet:version": "0.1.3"}
    columns = [pa.array([bytes(16)], row_id.type), pa.array([None], component.type)]
    batch = pa.record_batch(columns, schema=pa.schema([row_id, component], metadata=metadata))
    return str(versions.chunk_maker(ChunkInternal)(batch)[0].entity_path)


def _is_plain(part: str) -> bool:
    # `isidentifier` decides for most parts; the regular expression engine is slow at first use in a new child.
    return (part.isascii() and part.isidentifier()) or _PLAIN_PART.fullmatch(part) is not None


def _checked(canonical: str) -> bytes:
    encoded = canonical.encode()
    if len(encoded) > MAX_PATH_BYTES:
        raise InvalidArgumentError(
            f"the entity path {canonical[:40]!r}... has {len(encoded)} bytes; give one of {MAX_PATH_BYTES} at most"
        )
    return encoded
