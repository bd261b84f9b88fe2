"""Floor 2: the collector's processes. See `guard` (what is started), `worker` (what drains), `sweep` (one drain)."""
