"""Scales images of a chunk down, or makes JPEGs of them, as a rule says. Needs Pillow. Belongs to a sink's thread.

Images of eight bits per channel (gray, RGB, RGBA, BGR, BGRA) and encoded images that Pillow reads are changed; all
others stay as they are.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from PIL import Image

if TYPE_CHECKING:
    from rerun_mp.session.rules import Rule

__all__ = ["smaller"]

U8 = 6
"""rerun's number of the channel type of eight bits."""
MODES = {1: ("L", "L"), 2: ("RGB", "RGB"), 3: ("RGBA", "RGBA"), 4: ("RGB", "BGR"), 5: ("RGBA", "BGRA")}
"""rerun's numbers of color models -> Pillow's mode, and the order of bytes."""
JPEG_QUALITY = 85
"""Quality of encoded images that are scaled down, if the rule names none."""


def smaller(batch: Any, rule: Rule) -> Any:
    """Return a chunk's batch with its images as the rule says; the same batch if no image changes."""
    names = batch.schema.names
    if "Image:buffer" in names and "Image:format" in names:
        return _of_pixels(batch, rule)
    return _of_files(batch, rule) if "EncodedImage:blob" in names else batch


def _of_pixels(batch: Any, rule: Rule) -> Any:
    buffers, formats = (batch.schema.get_field_index(name) for name in ("Image:buffer", "Image:format"))
    images = [
        _image(buffer, layout)
        for buffer, layout in zip(batch.column(buffers), batch.column(formats).to_pylist(), strict=True)
    ]
    if any(image is None for image in images):
        return batch
    scaled = [_scaled(image, rule) for image in images]
    if rule.jpeg is not None:
        files = [[_jpeg(image, rule.jpeg)] for image in scaled]
        return _replaced(
            _replaced(batch, buffers, _blob_field(), files), formats, _media_field(), [["image/jpeg"]] * len(files)
        )
    if all(new is old for new, old in zip(scaled, images, strict=True)):
        return batch
    layouts = [
        [{**layout[0], "width": image.width, "height": image.height, "color_model": _model(image)}]
        for layout, image in zip(batch.column(formats).to_pylist(), scaled, strict=True)
    ]
    contents = [[image.tobytes()] for image in scaled]
    changed = _replaced(batch, buffers, batch.schema.field(buffers), contents)
    return _replaced(changed, formats, batch.schema.field(formats), layouts)


def _of_files(batch: Any, rule: Rule) -> Any:
    place = batch.schema.get_field_index("EncodedImage:blob")
    files = []
    for blob in batch.column(place):
        content = _bytes_of(blob)
        if content is None:
            return batch
        image = Image.open(io.BytesIO(content))
        quality = JPEG_QUALITY if rule.jpeg is None else rule.jpeg
        is_small = rule.max_side is None or max(image.size) <= rule.max_side
        files.append([content if is_small and rule.jpeg is None else _jpeg(_scaled(image, rule), quality)])
    changed = _replaced(batch, place, batch.schema.field(place), files)
    media = batch.schema.get_field_index("EncodedImage:media_type")
    if media < 0:
        return changed
    types = [
        ["image/jpeg" if file[0][:2] == b"\xff\xd8" else old and old[0]]
        for file, old in zip(files, batch.column(media).to_pylist(), strict=True)
    ]
    return _replaced(changed, media, batch.schema.field(media), types)


def _image(buffer: Any, layouts: list[dict[str, Any]] | None) -> Any:
    """Return a row's image; None if it is of another kind, or the row has not all of it."""
    content = _bytes_of(buffer)
    if content is None or not layouts:
        return None
    layout = layouts[0]
    mode = MODES.get(layout["color_model"] or 0)
    if mode is None or layout["pixel_format"] is not None or layout["channel_datatype"] != U8:
        return None
    return Image.frombytes(mode[0], (layout["width"], layout["height"]), content, "raw", mode[1])


def _bytes_of(cell: Any) -> bytes | None:
    """Return the bytes of a row's one buffer; None if it has none."""
    if not cell.is_valid or len(cell) != 1:
        return None
    values = cell[0].values
    return memoryview(values.to_numpy(zero_copy_only=True)).tobytes()


def _scaled(image: Any, rule: Rule) -> Any:
    if rule.max_side is None or max(image.size) <= rule.max_side:
        return image
    factor = rule.max_side / max(image.size)
    return image.resize((max(1, round(image.width * factor)), max(1, round(image.height * factor))))


def _jpeg(image: Any, quality: int) -> bytes:
    file = io.BytesIO()
    (image if image.mode in ("L", "RGB") else image.convert("RGB")).save(file, "JPEG", quality=quality)
    return file.getvalue()


def _model(image: Any) -> int:
    return {"L": 1, "RGB": 2, "RGBA": 3}[image.mode]


def _replaced(batch: Any, place: int, field: Any, rows: list[list[Any]]) -> Any:
    """Return the batch with another column at a place. Rows of bytes become lists of numbers of eight bits."""
    if rows and isinstance(rows[0][0], bytes):
        array = _byte_lists([row[0] for row in rows], field.type)
    else:
        array = pa.array(rows, field.type)
    fields = [field if number == place else old for number, old in enumerate(batch.schema)]
    columns = [array if number == place else old for number, old in enumerate(batch.columns)]
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields, metadata=batch.schema.metadata))


def _byte_lists(contents: list[bytes], kind: Any) -> Any:
    ends = [0]
    for content in contents:
        ends.append(ends[-1] + len(content))
    numbers = pa.Array.from_buffers(pa.uint8(), ends[-1], [None, pa.py_buffer(b"".join(contents))])
    inner = pa.ListArray.from_arrays(pa.array(ends, pa.int32()), numbers, type=kind.value_type)
    return pa.ListArray.from_arrays(pa.array(range(len(contents) + 1), pa.int32()), inner, type=kind)


def _blob_field() -> Any:
    inner = pa.list_(pa.field("item", pa.uint8(), nullable=False))
    return _field("blob", "Blob", inner)


def _media_field() -> Any:
    return _field("media_type", "MediaType", pa.string())


def _field(name: str, component: str, kind: Any) -> Any:
    metadata = {
        "rerun:kind": "data",
        "rerun:component": f"EncodedImage:{name}",
        "rerun:archetype": "rerun.archetypes.EncodedImage",
        "rerun:component_type": f"rerun.components.{component}",
    }
    return pa.field(f"EncodedImage:{name}", pa.list_(kind), metadata=metadata)
