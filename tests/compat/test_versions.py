"""Differences between releases of rerun-sdk are found by names and signatures, not by comparing versions."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import pytest

from rerun_mp.compat import versions
from rerun_mp.compat.native import registry


def test_the_installed_version_is_found_without_loading_rerun() -> None:
    assert versions.installed() == version("rerun-sdk")


@pytest.mark.parametrize(
    ("text", "is_supported", "is_tested"),
    [
        ("0.31.4", False, False),
        ("0.32.0", True, True),
        ("0.41.0", True, True),
        ("0.42.0rc1", True, False),
        ("1.0.0", True, False),
        ("unknown", False, False),
    ],
)
def test_a_version_is_supported_from_the_oldest_on(text: str, is_supported: bool, is_tested: bool) -> None:
    assert (versions.is_supported(text), versions.is_tested(text)) == (is_supported, is_tested)


def test_the_next_release_follows_the_newest_tested_one() -> None:
    major, minor = versions.NEWEST
    assert f"{major}.{minor + 1}" == versions.NEXT


def test_the_parameters_of_native_functions_are_read() -> None:
    import rerun_bindings

    save = registry.originals.get("save") or rerun_bindings.save
    assert versions.parameters_of(save) == ["path", "default_blueprint", "recording", "write_footer"]
    assert versions.parameters_of(object()) is None


@pytest.mark.parametrize("signature", ["(record_batch)", "(record_batch, index_mode, index_columns, entity_path)"])
def test_chunks_are_made_as_the_release_asks(signature: str) -> None:
    """Both signatures that releases have had. Some return a list, some one chunk."""
    calls: list[tuple[Any, ...]] = []

    class Maker:
        __text_signature__ = signature

        def __call__(self, *args: Any) -> Any:
            calls.append(args)
            return ["chunk"] if len(args) > 1 else "chunk"

    class Chunk:
        from_record_batch = Maker()

    assert versions.chunk_maker(Chunk)("batch") == ["chunk"]
    assert len(calls[0]) == signature.count(",") + 1
