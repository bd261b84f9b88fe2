"""Random faults on random load: `python -m tests.soak --seconds 600`, part of `make soak`.

    storm.py     the program: a parent that starts workers, which log, and kills them
    episode.py   one episode: a program in a session of its own, faults from outside, and checks at the end
    __main__.py  one episode after another, and one line of totals

(seed, number) determines an episode, but not the instant of a kill, which depends on the machine. `--only SEED:NUMBER`
runs a failed episode again; it may take several runs until it fails again.
"""
