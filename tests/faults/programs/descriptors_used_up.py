"""A program logs while all of its descriptors are in use, and later with free ones: descriptors_used_up.py FILE.

Prints its errors and warnings, and finally `figures WARNINGS LOGGED DELIVERED DROPPED REFUSED`: the number of warnings,
and the figures of the first producer's account.
"""

from __future__ import annotations

import os
import resource
import sys
import warnings

import numpy as np

import rerun_mp as rr


def use_up() -> list[int]:
    """Open descriptors up to the limit, and return them."""
    used = []
    try:
        while True:
            used.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        return used


def small_image() -> rr.Image:
    """Return an image that no cache holds."""
    return rr.Image(np.zeros((8, 8, 3), np.uint8))


def main(path: str) -> None:
    """Log before, while and after no descriptor is free."""
    rr.init("rerun_mp_files")
    rr.save(path)
    rr.log("image", small_image())
    rr.flush()  # gives the image's slot to the collector; the scalars' slot, claimed next, stays open
    rr.log("scalar", rr.Scalars(0.0))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    used = use_up()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(100):
            for entity, row in (("scalar", rr.Scalars(1.0)), ("image", small_image())):
                rr.log(entity, row)
    messages = [str(warning.message) for warning in caught]
    try:
        rr.save(path + ".other")
    except OSError as error:
        print(error)
    child = os.fork()
    if child == 0:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            rr.log("child", rr.Scalars(1.0))
        for warning in caught:
            print(warning.message, flush=True)
        for descriptor in used:
            os.close(descriptor)
        rr.log("child", rr.Scalars(2.0))
        os._exit(0)
    os.waitpid(child, 0)
    for descriptor in used:
        os.close(descriptor)
    rr.log("image", small_image())
    rr.flush()
    statistics = rr.statistics()
    account = statistics.producers[0]
    print(*messages, sep="\n")
    print(statistics.refused, statistics.refused_here)
    print("figures", len(messages), account.logged, account.delivered, account.dropped, account.refused)


if __name__ == "__main__":
    main(sys.argv[1])
