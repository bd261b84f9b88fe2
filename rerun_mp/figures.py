"""A blueprint for the session's own figures, which the collector logs if `Settings.figures` says how often."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rerun_mp.collector.reporting.own_entities import own_entity
from rerun_mp.protection import is_protected
from rerun_mp.session.host_names import host_name

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def blueprint(hosts: Sequence[str] = ()) -> Blueprint:
    """Return a blueprint that shows the session's figures, killed producers and dropped rows.

    Parameters
    ----------
    hosts
        Names of the hosts of a job, as `socket.gethostname` returns them: each figure has a line for each host. Empty:
        this session alone. A job of several hosts needs the names, because its figures are logged by host.

    Examples
    --------
    >>> import rerun_mp as rr
    >>> from rerun_mp import figures
    >>> rr.init("my_app", settings=rr.Settings(figures=1.0))  # doctest: +SKIP
    >>> rr.send_blueprint(figures.blueprint())  # doctest: +SKIP
    """
    import rerun.blueprint as rrb

    names = [*map(host_name, hosts)] if hosts else [_own_host()]
    # A view shows paths that begin with two underscores only if it names them.
    series = [
        rrb.TimeSeriesView(
            origin=own_entity(names[0], f"figures/{name}") if len(names) == 1 else ORIGIN,
            contents=[own_entity(host, f"figures/{name}") for host in names],
            name=title,
        )
        for name, title in TITLES.items()
    ]
    texts = rrb.TextLogView(
        origin=ORIGIN,
        contents=[own_entity(host, name) for host in names for name in ("crashes", "dropped")],
        name="Killed producers, dropped rows",
    )
    return rrb.Blueprint(rrb.Vertical(rrb.Grid(*series), texts, row_shares=[3, 1]), collapse_panels=True)


def _own_host() -> str | None:
    if not is_protected():
        return None
    from rerun_mp.session import current

    return current.host()
