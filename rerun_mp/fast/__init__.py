"""Archetypes whose construction does no Arrow work, behind the names of rerun's.

    base.py        how a class stands for rerun's class of its name
    scalars.py     `Scalars`
    text.py        `TextLog`
    points.py      `Points3D`, `Points2D`
    transforms.py  `Transform3D`
    images.py      `Image`, `DepthImage`, `SegmentationImage`
    blobs.py       `EncodedImage`, `Tensor`

All other archetypes are rerun's own. Importing this package loads neither rerun nor numpy nor pyarrow.
"""

from __future__ import annotations

from rerun_mp.fast.base import FastArchetype
from rerun_mp.fast.blobs import ENCODED_IMAGE, TENSOR, EncodedImage, Tensor
from rerun_mp.fast.images import DEPTH_IMAGE, IMAGE, SEGMENTATION_IMAGE, DepthImage, Image, SegmentationImage
from rerun_mp.fast.points import POINTS_2D, POINTS_3D, Points2D, Points3D
from rerun_mp.fast.scalars import SCALARS, Scalars
from rerun_mp.fast.text import TEXT_LOG, TextLog
from rerun_mp.fast.transforms import TRANSFORM_3D, Transform3D

__all__ = [
    "DEPTH_IMAGE",
    "ENCODED_IMAGE",
    "IMAGE",
    "POINTS_2D",
    "POINTS_3D",
    "SCALARS",
    "SEGMENTATION_IMAGE",
    "TENSOR",
    "TEXT_LOG",
    "TRANSFORM_3D",
    "DepthImage",
    "EncodedImage",
    "FastArchetype",
    "Image",
    "Points2D",
    "Points3D",
    "Scalars",
    "SegmentationImage",
    "Tensor",
    "TextLog",
    "Transform3D",
]
