"""A program that logs with all of its descriptors in use, then with some again. Usage: descriptors_used_up.py FILE.

Prints the errors that it got, and at last `figures RAISED LOGGED DELIVERED DROPPED REFUSED`: how many calls raised, and
the figures of the first producer's account.
"""

from __future__ import annotations

import os
import resource
import sys

import numpy as np

import rerun_mp as rr


def use_up() -> list[int]:
    """Open descriptors until there are no more, and return them."""
    used = []
    try:
        while True:
            used.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        return used


def small_image() -> rr.Image:
    """Return an image that no cache knows."""
    return rr.Image(np.zeros((8, 8, 3), np.uint8))


def main(path: str) -> None:
    """Log before, while and after there are no descriptors."""
    rr.init("rerun_mp_files")
    rr.save(path)
    rr.log("image", small_image())
    rr.flush()  # the image's slot is given up; the scalar's stays open
    rr.log("scalar", rr.Scalars(0.0))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    used = use_up()
    refused, message = 0, "none"
    for _ in range(100):
        for entity, row in (("scalar", rr.Scalars(1.0)), ("image", small_image())):
            try:
                rr.log(entity, row)
            except rr.RingFullError as error:
                refused += 1
                message = str(error)
    try:
        rr.save(path + ".other")
    except OSError as error:
        print(error)
    child = os.fork()
    if child == 0:
        try:
            rr.log("child", rr.Scalars(1.0))
        except rr.RingFullError as error:
            print(error, flush=True)
        for descriptor in used:
            os.close(descriptor)
        rr.log("child", rr.Scalars(2.0))
        os._exit(0)
    os.waitpid(child, 0)
    for descriptor in used:
        os.close(descriptor)
    rr.log("image", small_image())
    rr.flush()
    account = rr.statistics().producers[0]
    print(message)
    print("figures", refused, account.logged, account.delivered, account.dropped, account.refused)


if __name__ == "__main__":
    main(sys.argv[1])
