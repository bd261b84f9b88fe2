"""How rerun_mp meets other libraries: one small module each, which loads nothing of a library that is not there.

Rows need none of them: whatever a process of the tree logs is captured. They say who logged what, and bring in what is
not logged by `log`::

    workers.py        who this process is: its rank, as an entity prefix or as a row of its own
    pools.py          multiprocessing.Pool, ProcessPoolExecutor, joblib/loky: an initializer
    torch.py          PyTorch's DataLoader: a worker_init_fn
    launchers.py      subprocess, torchrun and their like: what a child finds in its environment
    gunicorn.py       hooks for its configuration file
    pytest_plugin.py  a fixture that captures what a test logs, and keeps it if the test fails
    logs.py           the standard library's logging, from all processes, as TextLog
    exceptions.py     uncaught exceptions of processes and threads, as TextLog
"""
