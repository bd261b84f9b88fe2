"""Random faults on random load: `python -m tests.soak --seconds 600`, part of `make soak`.

    storm.py     the program: a parent that starts workers, which log, and kills them
    episode.py   one episode: a program in a session of its own, faults from outside, and checks at the end
    counting.py  another program, which logs numbers and tells how many
    homes.py     pairs of containers that share their homes, of which one is killed
    receivers.py a receiver that is gone at the end
    restarts.py  a script that is killed with its collector and started again over its path
    forking.py   a program that forks workers, some of which become another user
    workers.py   that program as process 1, or with changed users, whose workers and collectors are killed
    mixed.py     processes that set sinks of every kind, log, take snapshots and so on at random, and are killed
    mixed_harm.py  the same while a disk becomes full, files are removed, and another program wants their paths
    small_disk.py  that disk
    recovering.py  recovers what killed programs have left, and kills recoveries
    player.py    such a process
    mixed_checks.py  what the files of a mixed episode must have
    files.py     episodes of these kinds and of receivers.py
    __main__.py  one episode after another, and one line of totals

(seed, number) determines an episode, but not the instant of a kill, which depends on the machine. `--only SEED:NUMBER`
runs a failed episode again; it may take several runs until it fails again.
"""
