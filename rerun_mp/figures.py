"""A blueprint for the session's own figures, which the collector logs if `Settings.figures` says how often."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rerun.blueprint import Blueprint

__all__ = ["blueprint"]

ORIGIN = "/__rerun_mp"
"""The entity path below which the collector logs the session's figures."""
TITLES = {
    "ring_fill": "Ring in use (1 = full)",
    "rows_per_second": "Rows a second",
    "dropped": "Rows dropped",
    "behind": "Rows the slowest viewer has to get",
}
"""Titles of the views, by the names of the figures."""


def blueprint() -> Blueprint:
    """Return a blueprint that shows the session's figures, killed producers and dropped rows.

    Examples
    --------
    >>> import rerun_mp as rr
    >>> from rerun_mp import figures
    >>> rr.init("my_app", settings=rr.Settings(figures=1.0))  # doctest: +SKIP
    >>> rr.send_blueprint(figures.blueprint())  # doctest: +SKIP
    """
    import rerun.blueprint as rrb

    # A view shows paths that begin with two underscores only if it names them.
    series = [
        rrb.TimeSeriesView(origin=f"{ORIGIN}/figures/{name}", contents=[f"{ORIGIN}/figures/{name}"], name=title)
        for name, title in TITLES.items()
    ]
    texts = rrb.TextLogView(
        origin=ORIGIN, contents=[f"{ORIGIN}/crashes", f"{ORIGIN}/dropped"], name="Killed producers, dropped rows"
    )
    return rrb.Blueprint(rrb.Vertical(rrb.Grid(*series), texts, row_shares=[3, 1]), collapse_panels=True)
