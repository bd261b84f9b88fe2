"""Every spelling of an entity path becomes the canonical one that rerun writes."""

from __future__ import annotations

import pyarrow as pa
import pytest
import rerun_bindings
from hypothesis import given, settings
from hypothesis import strategies as st

from rerun_mp.encoding import paths
from rerun_mp.encoding.paths import canonical_entity_path
from rerun_mp.errors import InvalidArgumentError
from tests.harness.rerun_names import Chunk

ODD_PATHS = [
    "", "/", "//", "a//b", "/a/b", "a/b/", "my image", r"my\ image\!", "a\\", r"a\x", r"a\u{e9}", r"a\u{zz}",
    r"a\/b", r"a\\/b", "a:b", "a[0]", "+x", "a/../b", "/world/**", "\n", "ü/ß", "😀", "日本", "\u0345",
]  # fmt: skip


def spelled_by_rerun(path: str) -> bytes:
    field = pa.field("x", pa.list_(pa.int64()), metadata={"rerun:kind": "data", "rerun:component": "x"})
    batch = pa.record_batch([pa.array([[1]])], schema=pa.schema([field], metadata={"rerun:entity_path": path}))
    return str(Chunk.from_record_batch(batch, index=None)[0].entity_path).encode()


@pytest.mark.parametrize("path", ODD_PATHS)
def test_unusual_paths_are_spelled_as_rerun_spells_them(path: str) -> None:
    assert canonical_entity_path(path) == spelled_by_rerun(path)


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=12))
def test_any_text_is_spelled_as_rerun_spells_it(path: str) -> None:
    assert canonical_entity_path(path) == spelled_by_rerun(path)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=6), max_size=4))
def test_a_list_of_parts_is_spelled_as_rerun_spells_it(parts: list[object]) -> None:
    expected = spelled_by_rerun(rerun_bindings.new_entity_path([str(part) for part in parts]))
    assert canonical_entity_path(parts) == expected


def test_a_leading_slash_does_not_change_the_entity() -> None:
    assert canonical_entity_path("a/b") == canonical_entity_path("/a/b") == canonical_entity_path(["a", "b"]) == b"/a/b"


@pytest.mark.parametrize("bad", [5, None, ("a", "b"), b"a"])
def test_an_argument_that_is_no_path_is_refused_by_name(bad: object) -> None:
    with pytest.raises(TypeError, match="entity_path"):
        canonical_entity_path(bad)  # type: ignore[arg-type]


def test_a_path_too_long_for_a_frame_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="65535"):
        canonical_entity_path("a" * 70_000)


def test_the_memory_of_paths_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "MAX_REMEMBERED", 10)
    monkeypatch.setattr(paths, "_remembered", {})
    for i in range(100):
        assert canonical_entity_path(f"many/{i}") == f"/many/{i}".encode()
    assert len(paths._remembered) <= 10
