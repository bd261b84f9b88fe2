"""Fast archetypes: classes under the names of rerun's archetypes that do no Arrow work when an object is made.

    base.py            the link between a fast class and rerun's class of the same name
    scalars.py         `Scalars`
    text.py            `TextLog`
    transforms.py      `Transform3D`
    images.py          `Image`, `DepthImage`, `SegmentationImage`
    encoded_images.py  `EncodedImage`
    compression.py     `Image.compress` and `DepthImage.compress`
    tensors.py         `Tensor`
    general.py         most other archetypes: one class each, derived from `catalogue.py`, rerun's description of them
    adapters.py        from arguments that rerun converts to those that it hands on
    columns.py         `TimeColumn`, and `columns` of the archetypes
    encoders.py        from arguments to bytes
    any_values.py      `AnyValues`, `DynamicArchetype`
    structures.py      encoders of class annotations and bar charts
    values.py          `MediaType`, `Quaternion`, `RotationAxisAngle`

All other archetypes are rerun's own. Importing this package loads neither rerun nor numpy nor pyarrow.
"""

from __future__ import annotations

from rerun_mp.fast.any_values import AnyValues, DynamicArchetype
from rerun_mp.fast.base import FastArchetype
from rerun_mp.fast.compression import Compression
from rerun_mp.fast.encoded_images import ENCODED_IMAGE, EncodedImage
from rerun_mp.fast.images import DEPTH_IMAGE, IMAGE, SEGMENTATION_IMAGE, DepthImage, Image, SegmentationImage
from rerun_mp.fast.scalars import SCALARS, Scalars
from rerun_mp.fast.tensors import TENSOR, Tensor
from rerun_mp.fast.text import TEXT_LOG, TextLog
from rerun_mp.fast.transforms import TRANSFORM_3D, Transform3D

__all__ = [
    "DEPTH_IMAGE",
    "ENCODED_IMAGE",
    "IMAGE",
    "SCALARS",
    "SEGMENTATION_IMAGE",
    "TENSOR",
    "TEXT_LOG",
    "TRANSFORM_3D",
    "AnyValues",
    "Compression",
    "DepthImage",
    "DynamicArchetype",
    "EncodedImage",
    "FastArchetype",
    "Image",
    "Scalars",
    "SegmentationImage",
    "Tensor",
    "TextLog",
    "Transform3D",
]
