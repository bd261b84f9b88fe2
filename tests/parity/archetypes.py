"""Calls of every archetype's constructor that together use every argument, for programs that log them."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

__all__ = ["UNSERIALISABLE", "ways"]

UNSERIALISABLE = {"McapStatistics.channel_message_counts"}
"""Arguments that rerun-sdk cannot serialise."""

RED, GREEN = [255, 0, 0], 0x00FF00FF
QUATERNION = [0.0, 0.0, 0.0, 1.0]
POSITIONS = [[1, 2, 3], [4, 5, 6.5]]
FLAT_POSITIONS = [[1, 2], [3, 4.5]]
LABELS = ["one", "ü"]


def ways(rr: Any) -> dict[str, list[dict[str, Any]]]:
    """Return archetype name -> the arguments of calls that together give every argument a value.

    Only what the installed release of rerun-sdk has.
    """
    rotation = rr.RotationAxisAngle([0, 0, 1], degrees=45)
    looks = {"colors": [RED, GREEN], "labels": LABELS, "show_labels": True, "class_ids": [1, 2]}
    radii = {"radii": [0.5, rr.Radius.ui_points(2.0)]}
    turned = {"rotation_axis_angles": [rotation], "quaternions": [QUATERNION]}
    depth = {
        "meter": 1000.0,
        "colormap": rr.components.Colormap.Viridis,
        "depth_range": [0, 5],
        "point_fill_ratio": 0.5,
        "draw_order": 2.0,
        "magnification_filter": "Linear",
    }
    series = {"colors": [RED], "widths": [2.0], "names": ["a"], "visible_series": [True]}
    styled = {"aggregation_policy": "Average", "interpolation_mode": "Linear"}
    placed = {"translation": [1, 2, 3], "rotation_axis_angle": rotation, "quaternion": QUATERNION}
    drawn = {"opacity": 0.5, "draw_order": 1.0}
    made: dict[str, list[dict[str, Any]]] = {
        "AnnotationContext": [{"context": [(1, "one", RED), rr.AnnotationInfo(2, "two")]}],
        "Arrows2D": [
            {"vectors": FLAT_POSITIONS},
            {"vectors": FLAT_POSITIONS, "origins": FLAT_POSITIONS, "draw_order": 1.0, **radii, **looks},
        ],
        "Arrows3D": [{"vectors": POSITIONS}, {"vectors": POSITIONS, "origins": POSITIONS, **radii, **looks}],
        "Asset3D": [
            {"contents": b"glTF", "media_type": "model/gltf-binary", "albedo_factor": RED},
            {"path": "asset.obj"},
        ],
        "AssetAudio": [{"contents": b"audio", "media_type": "audio/wav"}, {"path": "asset.wav"}],
        "AssetVideo": [{"contents": b"video", "media_type": "video/mp4"}, {"path": "asset.mp4"}],
        "BarChart": [{"values": [1, 2, 3]}, {"values": [1.5], "color": RED, "abscissa": [4.0], "widths": [0.5]}],
        "Boxes2D": [
            {"half_sizes": FLAT_POSITIONS, "centers": FLAT_POSITIONS, "draw_order": 1.0, **radii, **looks},
            {"sizes": FLAT_POSITIONS, "mins": FLAT_POSITIONS},
            {"array": [[0, 0, 1, 2]], "array_format": rr.Box2DFormat.XYXY},
        ],
        "Boxes3D": [
            {"half_sizes": POSITIONS, "centers": POSITIONS, "fill_mode": "solid", **turned, **radii, **looks},
            {"sizes": POSITIONS, "mins": POSITIONS},
            {"half_sizes": POSITIONS, "rotations": [rotation, rotation]},
        ],
        "Capsules3D": [
            {
                "lengths": [1.0, 2.0],
                "radii": [0.5, 1],
                "translations": POSITIONS,
                "line_radii": [0.1],
                "fill_mode": 3,
                **turned,
                **looks,
            }
        ],
        "Clear": [{"recursive": True}, {"recursive": False}],
        "CoordinateFrame": [{"frame": "a"}],
        "Cylinders3D": [
            {
                "lengths": [1.0, 2.0],
                "radii": [0.5, 1],
                "centers": POSITIONS,
                "line_radii": [0.1],
                "fill_mode": "solid",
                **turned,
                **looks,
            }
        ],
        "DepthImage": [
            {"image": np.arange(12, dtype=np.uint16).reshape(3, 4)},
            {"image": np.ones((3, 4), np.float32), **depth},
        ],
        "Ellipses2D": [
            {
                "half_sizes": FLAT_POSITIONS,
                "centers": FLAT_POSITIONS,
                "line_radii": [0.1],
                "draw_order": 1.0,
                **looks,
            }
        ],
        "Ellipsoids3D": [
            {
                "half_sizes": POSITIONS,
                "centers": POSITIONS,
                "line_radii": [0.1],
                "fill_mode": "solid",
                **turned,
                **looks,
            },
            {"radii": [1.0, 2.0]},
        ],
        "EncodedDepthImage": [{"blob": b"png", "media_type": "image/png", **depth}],
        "EncodedImage": [
            {"contents": b"png", "media_type": "image/png", "magnification_filter": "Nearest", **drawn},
            {"path": "asset.png"},
        ],
        "GaussianSplats3D": [
            {"centers": POSITIONS},
            {
                "centers": POSITIONS,
                "scales": POSITIONS,
                "quaternions": [QUATERNION, QUATERNION],
                "colors": [RED, GREEN],
                "sh_coefficients": np.zeros((2, 45), np.float32),
                "spherical_harmonics_degree": 1,
            },
        ],
        "GeoLineStrings": [{"lat_lon": [FLAT_POSITIONS], "radii": [2.0], "colors": [RED]}],
        "GeoPoints": [{"lat_lon": FLAT_POSITIONS, "radii": [2.0], "colors": [RED], "class_ids": [1]}],
        "GraphEdges": [{"edges": [("a", "b")], "graph_type": "directed"}],
        "GraphNodes": [
            {
                "node_ids": ["a", "b"],
                "positions": FLAT_POSITIONS,
                "colors": [RED],
                "labels": LABELS,
                "show_labels": False,
                "radii": [1.0],
            }
        ],
        "GridMap": [
            {
                "data": bytes(12),
                "format": rr.components.ImageFormat(width=4, height=3, color_model="L", channel_datatype="U8"),
                "cell_size": 0.5,
                "colormap": rr.components.Colormap.Turbo,
                **placed,
                **drawn,
            }
        ],
        "Image": [
            {"image": np.arange(36, dtype=np.uint8).reshape(3, 4, 3), "magnification_filter": "Linear", **drawn},
            {"image": np.zeros((3, 4, 3), np.float32), "color_model": "BGR"},
            {"bytes": bytes(24), "width": 4, "height": 4, "pixel_format": rr.PixelFormat.NV12},
            {"bytes": bytes(16), "width": 4, "height": 4, "color_model": "L", "datatype": np.uint8},
        ],
        "InstancePoses3D": [{"translations": POSITIONS, "scales": POSITIONS, "mat3x3": [np.eye(3)] * 2, **turned}],
        "LineStrips2D": [{"strips": [FLAT_POSITIONS, FLAT_POSITIONS], "draw_order": 1.0, **radii, **looks}],
        "LineStrips3D": [{"strips": [POSITIONS, POSITIONS], **radii, **looks}, {"strips": np.zeros((2, 3, 3))}],
        "McapChannel": [{"id": 1, "topic": "t", "message_encoding": "cdr", "metadata": {"key": "value"}}],
        "McapMessage": [{"data": b"message"}],
        "McapSchema": [{"id": 1, "name": "n", "encoding": "ros2msg", "data": b"schema"}],
        "McapStatistics": [
            {
                "message_count": 1,
                "schema_count": 2,
                "channel_count": 3,
                "attachment_count": 4,
                "metadata_count": 5,
                "chunk_count": 6,
                "message_start_time": 7,
                "message_end_time": 8,
            }
        ],
        "Measurements": [{"values": [1.0], "variances": [0.5], "units": ["m"], **series, **styled}],
        "Mesh3D": [
            {"vertex_positions": [*POSITIONS, [7, 8, 9]]},
            {
                "vertex_positions": [*POSITIONS, [7, 8, 9]],
                "triangle_indices": [[0, 1, 2]],
                "vertex_normals": [*POSITIONS, [7, 8, 9]],
                "vertex_colors": [RED, GREEN, RED],
                "vertex_texcoords": [[0, 0], [0, 1], [1, 1]],
                "albedo_texture": np.zeros((2, 2, 3), np.uint8),
                "albedo_factor": RED,
                "face_rendering": "DoubleSided",
                "class_ids": [1],
            },
        ],
        "Pinhole": [
            {
                "image_from_camera": np.eye(3),
                "resolution": [640, 480],
                "camera_xyz": rr.ViewCoordinates.RDF,
                "child_frame": "c",
                "parent_frame": "p",
                "image_plane_distance": 2.0,
                "color": RED,
                "line_width": 1.0,
            },
            {"width": 640, "height": 480, "focal_length": 500.0, "principal_point": [320, 240]},
            {"fov_y": 1.0, "aspect_ratio": 1.5},
        ],
        "Points2D": [
            {"positions": FLAT_POSITIONS, "draw_order": 1.0, "keypoint_ids": [3, 4], **radii, **looks},
            {"positions": [1, 2, 3, 4]},
        ],
        "Points3D": [
            {"positions": POSITIONS, "point_shading": "Flat", "keypoint_ids": [3, 4], **radii, **looks},
            {"positions": np.zeros((3, 3), np.float64), "colors": np.zeros((3, 4), np.float32)},
            {"positions": []},
        ],
        "RecordingInfo": [{"start_time": 17, "name": "n"}],
        "Scalars": [{"scalars": 1.5}, {"scalars": [1, 2]}, {"scalars": np.float32(0.1)}],
        "SegmentationImage": [{"image": np.zeros((3, 4), np.uint8), **drawn}],
        "SeriesLines": [{**series, **styled}],
        "SeriesPoints": [
            {
                "colors": [RED],
                "markers": ["circle"],
                "names": ["a"],
                "visible_series": [False],
                "marker_sizes": [2.0],
            }
        ],
        "StateChange": [{"state": "s"}],
        "StateConfiguration": [
            {"values": ["a", "b"], "labels": LABELS, "colors": [RED, GREEN], "visible": [True, False]}
        ],
        "Tensor": [{"data": np.arange(24).reshape(2, 3, 4), "dim_names": ["a", "b", "c"], "value_range": [0, 24]}],
        "TextDocument": [{"text": "# ä"}, {"text": "t", "media_type": "text/markdown"}],
        "TextLog": [{"text": "t"}, {"text": "ä\n", "level": "WARN", "color": RED}],
        "Transform3D": [
            {"translation": [1, 2, 3], "rotation": rotation, "scale": 2.0},
            {"rotation_axis_angle": rotation, "scale": [1, 2, 3], "child_frame": "c", "parent_frame": "p"},
            {"quaternion": QUATERNION, "from_parent": True},
            {"mat3x3": np.eye(3), "relation": rr.TransformRelation.ChildFromParent},
        ],
        "TransformAxes3D": [{"axis_length": 2.0, "show_frame": True}],
        "VideoFrameReference": [
            {"seconds": 1.5, "video_reference": "video", **drawn},
            {"nanoseconds": 15},
            {"timestamp": rr.components.VideoTimestamp(nanoseconds=3)},
        ],
        "VideoStream": [{"codec": rr.VideoCodec.H264, "sample": b"sample", "is_keyframe": True, **drawn}],
        "ViewCoordinates": [{"xyz": [1, 3, 5]}],
        "Volume3D": [
            {
                "values": np.zeros((2, 3, 4), np.float32),
                "voxel_size": [0.5, 0.5, 1.0],
                "translation": [1, 2, 3],
                "quaternion": QUATERNION,
                "value_range": [0, 1],
                "gamma": 1.5,
                "colormap": rr.components.Colormap.Viridis,
                "optical_density": 0.5,
            }
        ],
        "VoxelGridMap": [
            {
                "voxel_indices": [[1, 2, 3]],
                "voxel_size": [0.5, 0.5, 1.0],
                "values": [0.5],
                "colors": [RED],
                "value_range": [0, 1],
                "colormap": rr.components.Colormap.Viridis,
                "opacity": 0.5,
                **placed,
            }
        ],
    }
    return {
        name: [_those_that_exist(getattr(rr.archetypes, name), arguments) for arguments in calls]
        for name, calls in made.items()
        if hasattr(rr.archetypes, name)
    }


def _those_that_exist(archetype: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments that this release of rerun-sdk takes."""
    known = inspect.signature(archetype).parameters
    return {name: value for name, value in arguments.items() if name in known}
