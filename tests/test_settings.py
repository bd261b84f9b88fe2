"""An argument wins over the environment, which wins over the default; errors name the value that makes no sense."""

from __future__ import annotations

from typing import Any

import pytest

from rerun_mp.errors import InvalidArgumentError
from rerun_mp.settings import Policy, Settings, parse_switch
from tests.conftest import RunPython

VARIABLES: list[tuple[str, str, str, Any]] = [
    ("ring_bytes", "RERUN_MP_RING_BYTES", "1000000", 1_000_000),
    ("slot_bytes", "RERUN_MP_SLOT_BYTES", "65536", 65_536),
    ("producers", "RERUN_MP_PRODUCERS", "7", 7),
    ("policy", "RERUN_MP_POLICY", " Drop ", Policy.DROP),
    ("block_timeout", "RERUN_MP_BLOCK_TIMEOUT", "2.5", 2.5),
    ("flush_tick", "RERUN_MP_FLUSH_TICK", "0", 0.0),
    ("exit_timeout", "RERUN_MP_EXIT_TIMEOUT", "3", 3.0),
    ("recover", "RERUN_MP_RECOVER", "off", False),
    ("figures", "RERUN_MP_FIGURES", "0.5", 0.5),
    ("part_bytes", "RERUN_MP_PART_BYTES", "5000", 5000),
    ("part_seconds", "RERUN_MP_PART_SECONDS", "5", 5.0),
    ("parts_bytes", "RERUN_MP_PARTS_BYTES", "1000", 1000),
    ("ship_timeout", "RERUN_MP_SHIP_TIMEOUT", "5", 5.0),
]
TEXTS: list[tuple[str, str, str, Any]] = [
    ("head", "RERUN_MP_HEAD", "rerun+http://head:9876/proxy", "rerun+http://head:9876/proxy"),
    ("head_token", "RERUN_MP_HEAD_TOKEN", "secret", "secret"),
    ("ship_to", "RERUN_MP_SHIP_TO", "/mnt/runs", "/mnt/runs"),
    ("parts_directory", "RERUN_MP_PARTS_DIRECTORY", "/scratch", "/scratch"),
]


@pytest.mark.parametrize(("name", "variable", "text", "value"), VARIABLES + TEXTS)
def test_the_environment_wins_over_the_default(
    name: str, variable: str, text: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert getattr(Settings(), name) != value
    monkeypatch.setenv(variable, text)
    assert getattr(Settings(), name) == value


@pytest.mark.parametrize(("name", "variable", "text", "value"), VARIABLES + TEXTS)
def test_an_argument_wins_over_the_environment(
    name: str, variable: str, text: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "nonsense, which is never read")
    given: dict[str, Any] = {name: value}
    assert getattr(Settings(**given), name) == value


@pytest.mark.parametrize(("name", "variable", "text", "value"), VARIABLES)
def test_errors_name_the_setting_or_variable(
    name: str, variable: str, text: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any]
    for given in ({name: -1.5}, {name: "nonsense"}):
        with pytest.raises(InvalidArgumentError, match=name):
            Settings(**given)
    monkeypatch.setenv(variable, "nonsense")
    with pytest.raises(InvalidArgumentError, match=f"{variable}='nonsense' is not"):
        Settings()


@pytest.mark.parametrize(
    ("text", "value"), [("1", True), ("True", True), ("ON", True), ("no", False), ("off", False), ("", None)]
)
def test_switches_take_the_words_of_rerun(text: str, value: bool | None) -> None:
    assert parse_switch(text) is value


FOUNDER_AND_LATER_CALL = """
import os, signal, sys
import rerun_mp as rr
from rerun_mp.session import current
from rerun_mp.shm.layout import Header

rr.init("rerun_mp_settings", settings=rr.Settings(ring_bytes=1 << 20, policy=rr.Policy.RAISE, flush_tick=0.5))
rr.init("rerun_mp_settings", settings=rr.Settings(policy=rr.Policy.DROP))
words = current.session().segment.ring.words
geometry = current.session().segment.ring.geometry
print(geometry.slots * geometry.slot_bytes, words[Header.POLICY], words[Header.FLUSH_TICK_NS])
"""


def test_the_settings_of_the_founder_hold_for_the_session(run_python: RunPython) -> None:
    assert run_python(FOUNDER_AND_LATER_CALL).check().stdout.split() == [
        str(1 << 20),
        str(Policy.RAISE.value),
        "500000000",
    ]


@pytest.mark.parametrize(("batcher", "tick"), [("LOW_LATENCY()", 8_000_000), ("NEVER()", 1_000_000_000)])
def test_the_flush_tick_of_a_batcher_config_becomes_the_collectors(
    batcher: str, tick: int, run_python: RunPython
) -> None:
    run_python(
        """
        import sys
        import rerun_mp as rr
        from rerun_mp.session import current
        from rerun_mp.shm.layout import Header

        try:
            rr.RecordingStream("rerun_mp_batcher", batcher_config=5)
        except TypeError as error:
            assert "ChunkBatcherConfig" in str(error)
        else:
            raise AssertionError("a number is no batcher")
        rr.RecordingStream("rerun_mp_batcher", batcher_config=eval(f"rr.ChunkBatcherConfig.{sys.argv[1]}"))
        tick = current.session().segment.ring.words[Header.FLUSH_TICK_NS]
        assert tick == int(sys.argv[2]), tick
        """,
        batcher,
        tick,
    ).check()


@pytest.mark.parametrize("name", [name for name, *_ in TEXTS])
def test_a_setting_that_must_be_a_text_refuses_a_number(name: str) -> None:
    given: dict[str, Any] = {name: 1}
    with pytest.raises(InvalidArgumentError, match=f"{name} must be a text"):
        Settings(**given)


@pytest.mark.parametrize(
    "url",
    [
        "head:9876",
        "http://head:9876/proxy",
        "rerun+http://head/proxy",
        "rerun+http://head:port/proxy",
        "rerun+http://head:98765/proxy",
        "rerun+http://:9876/proxy",
        "rerun+http://head:9876",
    ],
)
def test_a_head_is_the_url_of_a_live_view(url: str) -> None:
    """Without a port, rerun takes 80 or 443, and parts would go elsewhere."""
    with pytest.raises(InvalidArgumentError, match="no URL of a live view with host and port"):
        Settings(head=url)
    assert Settings(head="rerun+https://head:443/proxy").head


@pytest.mark.parametrize("target", ["s3://bucket/runs", "http://head", "htp://head:9877", "http://head:9877/parts"])
def test_parts_go_to_a_directory_or_a_receiver(target: str) -> None:
    """The name of another service would become a directory."""
    with pytest.raises(InvalidArgumentError, match="neither a directory nor the URL of a head's receiver"):
        Settings(ship_to=target)
    assert Settings(ship_to="http://head:9877").ship_to
    assert Settings(ship_to="/mnt/runs").ship_to
