"""A library that imports rerun and does not know rerun_mp."""

from __future__ import annotations

import logging

import rerun


def use(name: str) -> None:
    """Log in every way that a library has."""
    rerun.set_time("step", sequence=7)
    rerun.set_time("elapsed", duration=0.5)
    rerun.set_time("stamp", timestamp=12.0)
    rerun.log(f"{name}/scalar", rerun.Scalars(1.0))
    rerun.log(f"{name}/any", rerun.Points3D([[1, 2, 3]]), rerun.AnyValues(confidence=0.5))
    rerun.log([name, "static"], rerun.Boxes3D(half_sizes=[[1, 2, 3]]), static=True)
    rerun.disable_timeline("stamp")
    rerun.send_columns(
        f"{name}/columns", [rerun.TimeColumn("step", sequence=[1, 2, 3])], rerun.Scalars.columns(scalars=[1, 2, 3])
    )
    logger = logging.getLogger(name)
    logger.addHandler(rerun.LoggingHandler("logs"))
    logger.warning("of %s", name)
    recording = rerun.get_data_recording()
    assert recording is not None
    recording.log(f"{name}/handle", rerun.TextLog("by rerun's handle"))
    rerun.reset_time()
    rerun.log(f"{name}/timeless", rerun.Scalars(2.0))
