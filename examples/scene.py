"""A forked pool logs a robot arm, a point cloud, an augmentation pipeline and its losses, with rerun or with rerun_mp.

python examples/scene.py --out scene.rrd
python examples/scene.py --out scene.rrd --sdk rerun
"""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
from typing import Any

import numpy as np
import skimage.data
import skimage.transform

STEPS = 120
LINKS = (1.0, 0.8, 0.6)
"""Lengths of the arm's links, in meters."""

rr: Any = None
"""The SDK under test. Forked workers inherit it."""


def arm() -> None:
    """Log an arm that draws a rose, and its trail."""
    trail = []
    for step in range(STEPS):
        rr.set_time("step", sequence=step)
        turn = step / STEPS * 2 * np.pi
        angles = np.cumsum([0.9 + 0.5 * np.sin(turn), -0.8 + 0.6 * np.cos(2 * turn), -0.7 + 0.5 * np.sin(3 * turn)])
        joints = np.tile([0.0, 0.0, -0.2], (4, 1))
        for link, angle in enumerate(angles):
            reach = LINKS[link] * np.array([np.cos(angle) * np.cos(turn), np.cos(angle) * np.sin(turn), np.sin(angle)])
            joints[link + 1] = joints[link] + reach
        trail.append(joints[-1])
        foot = [[0.0, 0.0, -0.75], joints[0]]
        rr.log("world/arm/foot", rr.LineStrips3D([foot], radii=0.09, colors=[120, 120, 130]))
        rr.log("world/arm/links", rr.LineStrips3D([joints], radii=0.05, colors=[255, 170, 60]))
        rr.log("world/arm/joints", rr.Points3D(joints, radii=0.09, colors=[240, 240, 240]))
        rr.log("world/arm/trail", rr.LineStrips3D([trail], radii=0.012, colors=[90, 220, 255]))


def cloud() -> None:
    """Log a terrain that a scanner reveals, colored by height."""
    rng = np.random.default_rng(7)
    ground = rng.uniform(-3.2, 3.2, (24_000, 2))
    ground = ground[np.argsort(np.arctan2(ground[:, 1], ground[:, 0]))]
    radius = np.hypot(*ground.T)
    height = 0.35 * np.sin(2.2 * radius) * np.exp(-0.15 * radius) - 0.9
    shade = (height - height.min()) / np.ptp(height)
    colors = np.column_stack([60 + 150 * shade, 90 + 140 * shade, 190 - 90 * shade]).astype(np.uint8)
    points = np.column_stack([ground, height])
    for step in range(0, STEPS, 4):
        rr.set_time("step", sequence=step)
        seen = len(points) * (step + 4) // STEPS
        rr.log("world/cloud", rr.Points3D(points[:seen], colors=colors[:seen], radii=0.018))


def augment() -> None:
    """Log pictures before and after a random rotation, shift and change of color."""
    rng = np.random.default_rng(11)
    picture = skimage.transform.resize(skimage.data.astronaut(), (256, 256))
    for step in range(0, STEPS, 6):
        rr.set_time("step", sequence=step)
        for number in range(2):
            change = skimage.transform.AffineTransform(
                rotation=rng.normal(0, 0.35), translation=rng.normal(0, 18, 2), scale=rng.uniform(0.8, 1.2)
            )
            center = skimage.transform.AffineTransform(translation=(-128, -128))
            moved = skimage.transform.warp(picture, (center + change + center.inverse).inverse, mode="reflect")
            tint = np.clip(moved * rng.uniform(0.6, 1.3, 3), 0, 1)
            rr.log(f"augmented/{number}", rr.Image((255 * tint).astype(np.uint8)))


def train() -> None:
    """Log two losses."""
    rng = np.random.default_rng(3)
    for name, color in (("train", [90, 220, 255]), ("validation", [255, 170, 60])):
        rr.log(f"loss/{name}", rr.SeriesLines(colors=color, names=name, widths=2), static=True)
    for step in range(STEPS):
        rr.set_time("step", sequence=step)
        for name, floor in (("train", 0.18), ("validation", 0.3)):
            rr.log(f"loss/{name}", rr.Scalars(floor + 1.6 * np.exp(-step / 25) + rng.normal(0, 0.02)))


def blueprint() -> Any:
    """Return the layout of the scene."""
    import rerun.blueprint as rrb

    return rrb.Blueprint(
        rrb.Horizontal(
            rrb.Spatial3DView(origin="world", name="Robot arm and scanned ground"),
            rrb.Vertical(
                rrb.Horizontal(*(rrb.Spatial2DView(origin=f"augmented/{n}", name=f"Augmented {n}") for n in range(2))),
                rrb.TimeSeriesView(origin="loss", name="Loss", axis_y=rrb.ScalarAxis(range=(0.0, 2.0))),
            ),
            column_shares=[1.25, 1],
        ),
        collapse_panels=True,
    )


def main() -> None:
    """Log the scene to a file or to a viewer."""
    global rr
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="scene.rrd")
    parser.add_argument("--url", help="a viewer, instead of a file")
    parser.add_argument("--sdk", choices=["rerun", "rerun_mp"], default="rerun_mp")
    arguments = parser.parse_args()
    rr = importlib.import_module(arguments.sdk)
    rr.init("rerun_mp_scene")
    if arguments.url:
        rr.connect_grpc(arguments.url, default_blueprint=blueprint())
    else:
        rr.save(arguments.out, default_blueprint=blueprint())
    with multiprocessing.get_context("fork").Pool(4) as pool:
        for result in [pool.apply_async(work) for work in (arm, cloud, augment, train)]:
            result.get()


if __name__ == "__main__":
    main()
