"""Random faults on random load: `python -m tests.soak --seconds 600`, part of `make soak`.

    storm.py     the program: a parent that starts workers, which log, and kills them
    episode.py   one episode: a program in a session of its own, faults from outside, and what must be true at its end
    __main__.py  one episode after another, and one line of totals

Everything is drawn from (seed, number of the episode), but when a kill arrives is for the machine to say: an episode
that failed is run again by `--only SEED:NUMBER`, and may have to be run more than once.
"""
