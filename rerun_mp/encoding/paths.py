r"""Entity paths: from what the user writes to the one spelling that rerun uses, `/world/my\ image`.

Rows are grouped by entity, so `"a/b"`, `"/a/b"` and `["a", "b"]` must become the same bytes. Paths of letters, digits,
`_`, `-` and `.` are split here; anything else (escapes, spaces, punctuation) is left to rerun's own parser, once a
path, so that its rules and its warnings hold and are not written down twice. The results are remembered.

Any thread of any process may call this; the memory is copied by a fork like everything else.
"""

from __future__ import annotations

import re

from rerun_mp.errors import InvalidArgumentError

__all__ = ["canonical_entity_path"]

LONGEST = 0xFFFF
"""Bytes of the longest path: its length is a u16 in a frame."""

MAX_REMEMBERED = 1 << 16

_PLAIN_PART = re.compile(r"[\w.-]*")
_remembered: dict[str, bytes] = {}


def canonical_entity_path(entity_path: str | list[object]) -> bytes:
    r"""Return `entity_path` as rerun spells it, in UTF-8.

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

        # What rerun makes of the parts is parsed again when it is logged, with its own idea of escapes.
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
    parts = [part for part in entity_path.split("/") if part]
    if all(_is_plain(part) for part in parts):
        return "/" + "/".join(parts)
    import pyarrow as pa
    from rerun.chunk import Chunk

    component = pa.field("x", pa.list_(pa.null()), metadata={"rerun:kind": "data", "rerun:component": "x"})
    schema = pa.schema([component], metadata={"rerun:entity_path": entity_path})
    batch = pa.record_batch([pa.array([None], component.type)], schema=schema)
    return str(Chunk.from_record_batch(batch, index=None)[0].entity_path)


def _is_plain(part: str) -> bool:
    # What most parts are is found out without the regular expressions' machinery, cold in a child that has just begun.
    return (part.isascii() and part.isidentifier()) or _PLAIN_PART.fullmatch(part) is not None


def _checked(canonical: str) -> bytes:
    encoded = canonical.encode()
    if len(encoded) > LONGEST:
        raise InvalidArgumentError(
            f"the entity path {canonical[:40]!r}... has {len(encoded)} bytes; give one of {LONGEST} at most"
        )
    return encoded
