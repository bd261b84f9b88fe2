"""Integrations with other libraries, one small module each. A module never imports a library that is not installed.

Every process of the tree can log without them. They label rows with the process that logged them, and log other data,
such as output and warnings::

    workers.py        rank, pid, host and name of this process, as an entity prefix or as a row of its own
    pools.py          an initializer for multiprocessing.Pool, ProcessPoolExecutor and joblib/loky
    torch.py          a worker_init_fn for PyTorch's DataLoader
    launchers.py      the environment of children, for subprocess, torchrun and similar launchers
    gunicorn.py       hooks for gunicorn's configuration file
    pytest_plugin.py  a fixture that captures a test's rows, and keeps the file if the test fails
    logs.py           the standard library's logging and warnings of all processes, as TextLog
    output.py         standard output and standard error of all processes, as TextLog; output_reader/ reads them
    system.py         CPU, memory, threads and descriptors of each process and of the machine, as time series
    exceptions.py     uncaught exceptions of processes and threads, as TextLog
"""
