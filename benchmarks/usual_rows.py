"""The rows that users log most: one call of each, with the arguments that examples and tutorials have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["usual_rows"]


def usual_rows(rr: Any) -> dict[str, Callable[[Callable[..., None]], None]]:
    """Return name -> a function that makes the row's archetypes and hands them to `log`."""
    random = np.random.default_rng(7)
    points = random.random((10, 3)).astype(np.float32)
    flat = random.random((10, 2)).astype(np.float32)
    doubles = random.random((10, 3))
    colors = random.integers(0, 255, (10, 3), dtype=np.uint8)
    radii = random.random(10).astype(np.float32)
    lists = {"points": doubles.tolist(), "flat": flat.tolist(), "colors": colors.tolist(), "radii": radii.tolist()}
    labels = [f"label {n}" for n in range(10)]
    strips = [random.random((20, 3)).astype(np.float32) for _ in range(3)]
    quaternions = random.random((10, 4)).astype(np.float32)
    mesh = random.random((30, 3)).astype(np.float32)
    triangles = np.arange(30, dtype=np.uint32).reshape(10, 3)
    heights = random.random(50)
    many = random.random((1000, 3)).astype(np.float32)
    many_colors = random.integers(0, 255, (1000, 4), dtype=np.uint8)
    classes = random.integers(0, 9, (48, 64), dtype=np.uint8)
    depths = random.random((48, 64)).astype(np.float32)
    pixels = random.integers(0, 255, (48, 64, 3), dtype=np.uint8)
    jpeg = bytes(2000)
    context = [(1, "one", (255, 0, 0)), (2, "two", (0, 255, 0))]
    camera = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])
    kinds: dict[str, Any] = {"static": True}
    return {
        "Scalars": lambda log: log(rr.Scalars(0.5)),
        "Scalars, a list": lambda log: log(rr.Scalars([0.5, 1.5, 2.5])),
        "TextLog": lambda log: log(rr.TextLog("an event", level="INFO")),
        "TextDocument": lambda log: log(rr.TextDocument("# Title", media_type="text/markdown")),
        "Transform3D": lambda log: log(rr.Transform3D(translation=[1.0, 2.0, 3.0], quaternion=[0.0, 0.0, 0.0, 1.0])),
        "Points3D, colors, radii": lambda log: log(rr.Points3D(points, colors=colors, radii=radii)),
        "Points3D, lists": lambda log: log(rr.Points3D(lists["points"], colors=lists["colors"], radii=lists["radii"])),
        "Points3D, 1000 with colors": lambda log: log(rr.Points3D(many, colors=many_colors)),
        "Points2D, labels": lambda log: log(rr.Points2D(flat, labels=labels)),
        "Points2D, class ids": lambda log: log(rr.Points2D(flat, class_ids=np.arange(10))),
        "Boxes3D": lambda log: log(rr.Boxes3D(half_sizes=points, centers=points, colors=colors)),
        "Boxes3D, quaternions": lambda log: log(rr.Boxes3D(half_sizes=points, quaternions=quaternions)),
        "Boxes2D, labels": lambda log: log(rr.Boxes2D(half_sizes=lists["flat"], centers=lists["flat"], labels=labels)),
        "Boxes2D, mins and sizes": lambda log: log(rr.Boxes2D(mins=flat, sizes=flat)),
        "LineStrips3D": lambda log: log(rr.LineStrips3D(strips, colors=[255, 0, 0])),
        "LineStrips2D, lists": lambda log: log(rr.LineStrips2D([lists["flat"], lists["flat"]])),
        "Arrows3D": lambda log: log(rr.Arrows3D(origins=points, vectors=points, colors=colors)),
        "Arrows2D": lambda log: log(rr.Arrows2D(origins=flat, vectors=flat)),
        "Pinhole, matrix": lambda log: log(rr.Pinhole(image_from_camera=camera, resolution=[640, 480])),
        "Pinhole, focal length": lambda log: log(rr.Pinhole(focal_length=500.0, width=640, height=480)),
        "InstancePoses3D": lambda log: log(rr.InstancePoses3D(translations=points, quaternions=quaternions)),
        "Mesh3D": lambda log: log(rr.Mesh3D(vertex_positions=mesh, triangle_indices=triangles, vertex_normals=mesh)),
        "Ellipsoids3D": lambda log: log(rr.Ellipsoids3D(half_sizes=points, centers=points)),
        "Capsules3D": lambda log: log(rr.Capsules3D(lengths=radii, radii=radii, translations=points)),
        "GeoPoints": lambda log: log(rr.GeoPoints(lat_lon=[[59.3, 18.1]], radii=10.0)),
        "AnyValues": lambda log: log(rr.AnyValues(confidence=[1.2, 3.4], description="text")),
        "BarChart": lambda log: log(rr.BarChart(heights)),
        "Clear": lambda log: log(rr.Clear(recursive=True)),
        "two archetypes": lambda log: log(
            rr.Points3D(points, colors=colors), rr.Transform3D(translation=[1.0, 2.0, 3.0])
        ),
        "archetype and AnyValues": lambda log: log(rr.Scalars(0.5), rr.AnyValues(confidence=0.5)),
        "static points": lambda log: log(rr.Points3D(points, colors=colors), **kinds),
        "ViewCoordinates, static": lambda log: log(rr.ViewCoordinates.RIGHT_HAND_Z_UP, **kinds),
        "AnnotationContext, static": lambda log: log(rr.AnnotationContext(context), **kinds),
        "SeriesLines, static": lambda log: log(rr.SeriesLines(colors=[255, 0, 0], names="loss", widths=2), **kinds),
        "from_fields": lambda log: log(rr.Points3D.from_fields(radii=radii)),
        "Tensor": lambda log: log(rr.Tensor(depths, dim_names=["y", "x"])),
        "SegmentationImage": lambda log: log(rr.SegmentationImage(classes)),
        "DepthImage": lambda log: log(rr.DepthImage(depths, meter=1.0)),
        "Image": lambda log: log(rr.Image(pixels)),
        "EncodedImage": lambda log: log(rr.EncodedImage(contents=jpeg, media_type="image/jpeg")),
    }
