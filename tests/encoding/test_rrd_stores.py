"""Files with several recordings, put together from others, are such that rerun reads and verifies them."""

from __future__ import annotations

from pathlib import Path

import pytest
import rerun
from rerun.blueprint import Blueprint, TimeSeriesView

from rerun_mp.encoding.rrd_stores import Store, compose, prelude_of_only_recording, stores_in
from rerun_mp.errors import CorruptionError
from tests.harness.recordings import rows_of, verify

ONE, TWO = Store(False, "app", "one"), Store(False, "app", "two")


def everything(store: Store) -> bool:
    """Want each store."""
    return bool(store)


def written(path: Path, recording_id: str, rows: int = 5, *, blueprint: bool = False) -> str:
    """Write a file with rerun, and return its path."""
    with rerun.RecordingStream("app", recording_id=recording_id) as stream:
        stream.save(path, Blueprint(TimeSeriesView(origin="/")) if blueprint else None)
        for step in range(rows):
            stream.set_time("step", sequence=step)
            stream.log(f"a/{recording_id}", rerun.Scalars(float(step)))
    return str(path)


@pytest.fixture
def sources(tmp_path: Path) -> tuple[str, str]:
    return written(tmp_path / "one.rrd", "one"), written(tmp_path / "two.rrd", "two", 7, blueprint=True)


def test_a_file_with_two_recordings_is_complete_and_has_the_rows_of_both(
    sources: tuple[str, str], tmp_path: Path
) -> None:
    both = tmp_path / "both.rrd"
    begins = compose([(source, everything) for source in sources], str(both), write_footer=True)
    verify(both)
    assert [store for store in stores_in(str(both)) if not store.is_blueprint] == [ONE, TWO]
    assert [len(rows_of(both, recording_id=one)) for one in ("one", "two")] == [5, 7]
    assert begins[0] < begins[1] < both.stat().st_size


def test_chosen_stores_of_a_file_are_copied_with_their_places_in_the_footer(
    sources: tuple[str, str], tmp_path: Path
) -> None:
    both, rest = str(tmp_path / "both.rrd"), tmp_path / "rest.rrd"
    compose([(source, everything) for source in sources], both, write_footer=True)
    compose([(both, lambda store: store != ONE), (sources[0], everything)], str(rest), write_footer=True)
    verify(rest)
    assert [len(rows_of(rest, recording_id=one)) for one in ("one", "two")] == [5, 7]
    only = tmp_path / "only.rrd"
    compose([(both, lambda store: store == TWO)], str(only), write_footer=True)
    verify(only)
    assert stores_in(str(only)) == [TWO]


@pytest.mark.filterwarnings("ignore:RRD file has no footer")
def test_the_whole_messages_of_a_file_that_was_cut_off_are_kept_without_a_footer(
    sources: tuple[str, str], tmp_path: Path
) -> None:
    torn, both = tmp_path / "torn.rrd", tmp_path / "both.rrd"
    content = Path(sources[0]).read_bytes()
    torn.write_bytes(content[: content.rindex(b"RRF2FOOT") // 2])
    compose([(str(torn), everything), (sources[1], everything)], str(both), write_footer=True)
    assert len(rows_of(both, recording_id="two")) == 7
    assert not both.read_bytes()[-12:].startswith(b"RRF2FOOT")


def test_the_prelude_is_known_of_a_file_with_one_recording_alone(sources: tuple[str, str], tmp_path: Path) -> None:
    both = str(tmp_path / "both.rrd")
    compose([(source, everything) for source in sources], both, write_footer=True)
    assert prelude_of_only_recording(sources[0]) is not None
    assert prelude_of_only_recording(sources[1]) is None
    assert prelude_of_only_recording(both) is None


def test_a_file_that_is_no_recording_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.rrd"
    other.write_bytes(b"something else")
    with pytest.raises(CorruptionError, match=r"is not an \.rrd file"):
        stores_in(str(other))
