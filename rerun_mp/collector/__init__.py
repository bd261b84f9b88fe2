"""The collector: a guard and a worker, two processes that drain the ring into files and live sinks.

`guard` starts and watches the worker. `worker` drains: `drain` turns ring bytes into chunks, `store` keeps them in
files, `live` sends them to viewers and servers, `reporting` records who lived and died, `ending` ends the session.
"""
