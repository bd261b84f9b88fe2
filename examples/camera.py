"""A live stream of two cameras: when the disk cannot keep up, `log` drops and counts frames instead of waiting.

    python examples/camera.py --out camera.rrd

Two processes make moving pictures from a real one, as fast as they can. The ring is small and the policy is `drop`, so
`log` never waits. At the end every frame is accounted for: logged = stored + dropped.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections import Counter
from pathlib import Path

import numpy as np
import skimage.data
from rerun.chunk import RrdReader

import rerun_mp as rr

SECONDS = 3.0


def film(name: str, seconds: float) -> None:
    """Log frames, and print how long the longest call of `log` took."""
    picture = skimage.data.astronaut()
    end = time.monotonic() + seconds
    longest, frame = 0.0, 0
    while time.monotonic() < end:
        shown = np.roll(picture, 4 * frame, axis=1)
        rr.set_time("frame", sequence=frame)
        begin = time.perf_counter()
        rr.log(f"cameras/{name}", rr.Image(shown))
        longest = max(longest, time.perf_counter() - begin)
        frame += 1
    rr.flush()
    print(f"{name}: {frame} frames, the longest call of log() took {1e3 * longest:.1f} ms", flush=True)


def main() -> None:
    """Film with two cameras, and compare the statistics of each with the recording."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("camera.rrd"))
    parser.add_argument("--seconds", type=float, default=SECONDS)
    arguments = parser.parse_args()
    rr.init("rerun_mp_camera", settings=rr.Settings(policy=rr.Policy.DROP, ring_bytes=8 << 20))
    rr.save(arguments.out)
    context = multiprocessing.get_context("fork")
    cameras = [context.Process(target=film, args=(name, arguments.seconds), name=name) for name in ("left", "right")]
    for camera in cameras:
        camera.start()
    for camera in cameras:
        camera.join()
    rr.disconnect()
    recorded: Counter[str] = Counter()
    for chunk in RrdReader(arguments.out).stream():
        recorded[chunk.entity_path.rpartition("/")[2]] += chunk.num_rows
    is_exact = True
    print(f"{'camera':<10}{'logged':>8}{'stored':>11}{'dropped':>9}{'in recording':>14}")
    for account in rr.statistics().producers:
        if account.name in recorded:
            found = recorded[account.name]
            print(f"{account.name:<10}{account.logged:>8}{account.stored:>11}{account.dropped:>9}{found:>14}")
            is_exact &= account.stored == found
    raise SystemExit(0 if is_exact else 1)


if __name__ == "__main__":
    main()
