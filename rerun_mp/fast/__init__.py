"""Fast archetypes: classes under the names of rerun's archetypes that do no Arrow work when an object is made.

    base.py            the link between a fast class and rerun's class of the same name
    scalars.py         `Scalars`
    text.py            `TextLog`
    points.py          `Points3D`, `Points2D`
    transforms.py      `Transform3D`
    images.py          `Image`, `DepthImage`, `SegmentationImage`
    encoded_images.py  `EncodedImage`
    tensors.py         `Tensor`

All other archetypes are rerun's own. Importing this package loads neither rerun nor numpy nor pyarrow.
"""

from __future__ import annotations

from rerun_mp.fast.base import FastArchetype
from rerun_mp.fast.encoded_images import ENCODED_IMAGE, EncodedImage
from rerun_mp.fast.images import DEPTH_IMAGE, IMAGE, SEGMENTATION_IMAGE, DepthImage, Image, SegmentationImage
from rerun_mp.fast.points import POINTS_2D, POINTS_3D, Points2D, Points3D
from rerun_mp.fast.scalars import SCALARS, Scalars
from rerun_mp.fast.tensors import TENSOR, Tensor
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
