"""Bring the recording to tasks and actors on all nodes of a Ray cluster.

One line does it::

    ray.init(runtime_env=rerun_mp.integrations.ray.runtime_env("my_app"))

The cluster may run already. Ray's job id would not do as an identity: it repeats from cluster to cluster.
"""

from __future__ import annotations

from typing import Any

from rerun_mp.integrations import clusters

__all__ = ["runtime_env", "setup"]


def runtime_env(application_id: str, **others: Any) -> dict[str, Any]:
    """Return the runtime environment for `ray.init`: each worker process begins the recording when it starts.

    Parameters
    ----------
    application_id
        The application of the program's recording, as in `rerun_mp.init`.
    others
        Further entries of the runtime environment. Its `env_vars` are added to ours.

    Examples
    --------
    >>> import ray  # doctest: +SKIP
    >>> ray.init(runtime_env=runtime_env("my_app"))  # doctest: +SKIP
    """
    variables = {**clusters.shared_variables(application_id), **others.pop("env_vars", {})}
    return {"worker_process_setup_hook": f"{__name__}.setup", "env_vars": variables, **others}


def setup() -> None:
    """Begin the recording in a worker process: Ray's `worker_process_setup_hook`."""
    clusters.begin()
