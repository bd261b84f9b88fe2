"""Sinks are replaced as a whole, and a replacement that comes too late changes nothing."""

from __future__ import annotations

from tests.conftest import RunPython


def test_a_sink_that_has_been_replaced_replaces_no_other(run_python: RunPython) -> None:
    """A reader that goes on to its next file must not undo a `save` of another thread."""
    run_python(
        """
        import rerun_mp as rr
        from rerun_mp.api.sink_setting import configure_sinks
        from rerun_mp.api.sinks import FileSink
        recording = rr.RecordingStream("rerun_mp_sink_setting", send_properties=False)
        first, second = (FileSink(f"{number}.rrd").spec(None) for number in (1, 2))
        assert configure_sinks(recording.state, (first,))
        recording.save("saved.rrd")
        (saved,) = recording.state.sinks
        assert not configure_sinks(recording.state, (second,), in_place_of=first)
        assert recording.state.sinks == (saved,)
        assert configure_sinks(recording.state, (second,), in_place_of=saved)
        assert recording.state.sinks == (second,)
        """
    ).check()
