"""The collector: a guard and a worker, two processes that drain the ring into files and live sinks.

`guard` keeps a worker running, and `worker` runs a `pipeline` until the session's end (`ending`). In the pipeline,
`drain` turns the ring's bytes into chunks, `outputs` hands them to the stores (`store`) and live sinks (`live`), and
`reporting` reports losses and deaths.
"""
