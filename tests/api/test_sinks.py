"""Sinks carry the user's arguments; wrong arguments are refused before anything changes."""

from __future__ import annotations

import copy
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import rerun_bindings as theirs  # `rerun` has our kinds of sink

import rerun_mp as rr
from rerun_mp.errors import InvalidArgumentError, ResourceError


def test_sinks_with_equal_arguments_are_equal() -> None:
    assert rr.GrpcSink() == rr.GrpcSink("rerun+http://127.0.0.1:9876/proxy")
    assert rr.FileSink("a.rrd") == rr.FileSink(Path("a.rrd"))
    assert len({rr.FileSink("a.rrd"), rr.FileSink("a.rrd"), rr.FileSink("a.rrd", write_footer=False)}) == 2


@pytest.mark.parametrize("sink", [rr.GrpcSink(), rr.FileSink("a.rrd"), rr.GrpcServerSink(port=9877)])
def test_sinks_are_immutable_and_can_be_pickled(sink: Any) -> None:
    (name,) = type(sink).__slots__[:1]
    with pytest.raises(AttributeError, match="frozen"):
        setattr(sink, name, "other")
    assert pickle.loads(pickle.dumps(sink)) == copy.deepcopy(sink) == sink


URLS = [
    "rerun+http://127.0.0.1:9876/proxy", "rerun+http://127.0.0.1/proxy", "rerun://host/proxy/",
    "rerun+https://[::1]:9876/proxy", "rerun+http://127.0.0.1:9876", "rerun+http://127.0.0.1:9876/", "rerun+http://",
    "rerun+http://host:99999/proxy", "rerun+http://host:1/recording", "http://127.0.0.1:9876/proxy", "foo", "",
    "RERUN://host/proxy", " rerun+http://host/proxy",
]  # fmt: skip


@pytest.mark.parametrize("url", URLS)
def test_exactly_the_urls_that_rerun_takes_are_taken(url: str) -> None:
    try:
        theirs.GrpcSink(url)
    except RuntimeError:
        with pytest.raises(InvalidArgumentError, match="endpoint"):
            rr.GrpcSink(url)
    else:
        assert rr.GrpcSink(url).url == url


@pytest.mark.parametrize("bad", [5, None, 1.5])
def test_a_wrong_path_is_refused(bad: Any) -> None:
    with pytest.raises(TypeError):
        rr.FileSink(bad)


def test_a_relative_path_becomes_absolute_when_the_sink_is_set(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = rr.FileSink("run.rrd")
    monkeypatch.chdir(place)
    assert sink.spec(None).target == os.path.realpath(place / "run.rrd")
    assert not (place / "run.rrd").exists()


def test_a_link_is_the_file_that_it_points_to(place: Path) -> None:
    (place / "link.rrd").symlink_to(place / "run.rrd")
    assert rr.FileSink(place / "link.rrd").spec(None).target == os.path.realpath(place / "run.rrd")


@pytest.mark.parametrize("path", ["missing/run.rrd", ".", "/dev/null", "/proc/run.rrd"])
def test_an_unwritable_path_is_named_in_the_error(place: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.chdir(place)
    with pytest.raises(ResourceError, match=os.path.basename(path) if path != "." else place.name):
        rr.FileSink(path).spec(None)


def test_duplicates_and_foreign_sinks_are_refused() -> None:
    with pytest.raises(ValueError, match="Duplicate sinks"):
        rr.set_sinks(rr.GrpcSink(), rr.GrpcSink())
    with pytest.raises(InvalidArgumentError, match=r"rerun_mp.GrpcSink"):
        rr.set_sinks(theirs.GrpcSink())  # type: ignore[arg-type]
