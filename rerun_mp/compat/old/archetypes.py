"""Archetypes, as rerun-sdk had them. Each function returns the archetype that replaces the old one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rerun_mp.compat.old.warning import warn_of_old_name

if TYPE_CHECKING:
    import os
    from typing import IO

    from rerun import Scalars, SeriesLines, SeriesPoints

__all__ = [
    "ImageFormat",
    "Scalar",
    "disconnected_space",
    "image_encoded",
    "series_line",
    "series_point",
    "time_series_scalar",
]


class Scalar:
    """Makes `Scalars` of one number. In rerun-sdk until 0.22."""

    def __new__(cls, scalar: float) -> Scalars:  # type: ignore[misc]  # noqa: D102
        from rerun import Scalars

        warn_of_old_name("Scalar", "Scalars")
        return Scalars(scalar)

    @classmethod
    def columns(cls, *, scalar: Any = None) -> Any:
        """Return columns, as `Scalars.columns`."""
        from rerun import Scalars

        warn_of_old_name("Scalar", "Scalars")
        return Scalars.columns(scalars=scalar)


def series_line(
    *, color: Any = None, width: Any = None, name: Any = None, aggregation_policy: Any = None
) -> SeriesLines:
    """Return `SeriesLines` of one series. In rerun-sdk until 0.22, as `SeriesLine`."""
    from rerun import SeriesLines

    warn_of_old_name("SeriesLine", "SeriesLines")
    return SeriesLines(colors=color, widths=width, names=name, aggregation_policy=aggregation_policy)


def series_point(*, color: Any = None, marker: Any = None, name: Any = None, marker_size: Any = None) -> SeriesPoints:
    """Return `SeriesPoints` of one series. In rerun-sdk until 0.22, as `SeriesPoint`."""
    from rerun import SeriesPoints

    warn_of_old_name("SeriesPoint", "SeriesPoints")
    return SeriesPoints(colors=color, markers=marker, names=name, marker_sizes=marker_size)


def time_series_scalar(
    scalar: float, *, radius: Any = None, color: Any = None, label: Any = None, scattered: bool | None = None
) -> list[Any]:
    """Return a number and the style of its series. In rerun-sdk until 0.14, as `TimeSeriesScalar`."""
    import rerun

    warn_of_old_name("TimeSeriesScalar", "Scalars, and SeriesLines or SeriesPoints once")
    style: Any
    if scattered:
        style = rerun.SeriesPoints(colors=color, names=label, marker_sizes=radius)
    else:
        style = rerun.SeriesLines(colors=color, names=label, widths=None if radius is None else 2 * radius)
    return [*rerun.Scalars(scalar).as_component_batches(), *style.as_component_batches()]


def disconnected_space(is_disconnected: bool = True) -> Any:
    """Return a transform that disconnects a space. In rerun-sdk until 0.21, as `DisconnectedSpace`."""
    import rerun

    warn_of_old_name("DisconnectedSpace", "Transform3D(mat3x3=[0.0] * 9)")
    return rerun.Transform3D(mat3x3=[0.0] * 9) if is_disconnected else rerun.Transform3D()


class ImageFormat:
    """The format of an `ImageEncoded`: a file format, or raw pixels of a (height, width). In rerun-sdk until 0.22."""

    BMP: ImageFormat
    GIF: ImageFormat
    JPEG: ImageFormat
    PNG: ImageFormat
    TIFF: ImageFormat

    def __init__(self, name: str, size_hint: tuple[int, int] | None = None) -> None:
        self.name = name
        self.size_hint = size_hint

    def __str__(self) -> str:
        return self.name

    @staticmethod
    def NV12(size_hint: tuple[int, int]) -> ImageFormat:  # noqa: N802 (rerun's name)
        """Return the format of raw NV12 pixels."""
        return ImageFormat("NV12", size_hint)

    @staticmethod
    def YUY2(size_hint: tuple[int, int]) -> ImageFormat:  # noqa: N802 (rerun's name)
        """Return the format of raw YUY2 pixels."""
        return ImageFormat("YUY2", size_hint)


for _name in ("BMP", "GIF", "JPEG", "PNG", "TIFF"):
    setattr(ImageFormat, _name, ImageFormat(_name))


def image_encoded(
    *,
    path: str | os.PathLike[str] | None = None,
    contents: bytes | IO[bytes] | None = None,
    format: ImageFormat | None = None,  # noqa: A002 (rerun's name)
    draw_order: float | None = None,
) -> Any:
    """Return an `EncodedImage`, or an `Image` for raw pixels. In rerun-sdk until 0.22, as `ImageEncoded`."""
    import rerun

    warn_of_old_name("ImageEncoded", "EncodedImage, or Image for NV12 and YUY2")
    if (path is None) == (contents is None):
        raise ValueError("Must provide exactly one of 'path' or 'contents'")
    if format is not None and format.size_hint is not None:
        if path is not None:
            with open(path, "rb") as file:
                pixels = file.read()
        else:
            pixels = contents if isinstance(contents, bytes) else contents.read()  # type: ignore[union-attr]
        height, width = format.size_hint
        options: Any = {"pixel_format": format.name, "draw_order": draw_order}
        return rerun.Image(bytes=pixels, width=width, height=height, **options)
    media_type = None if format is None else f"image/{format.name.lower()}"
    source: Any = {"contents": contents} if path is None else {"path": path}
    return rerun.EncodedImage(**source, media_type=media_type, draw_order=draw_order)
