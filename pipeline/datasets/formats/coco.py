"""Decodes COCO's instances format (JSON) into typed structs, without Python dictionaries in between."""

import re
from collections.abc import Iterator
from itertools import chain
from operator import attrgetter
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import msgspec
import numpy as np
import pyarrow as pa
from msgspec import Meta
from numpy.typing import NDArray

from pipeline.core import schema

# Ranges that fit the columns of the tables. Whether an id or a size makes sense is checked in pipeline.validation.
Id = Annotated[int, Meta(ge=-(2**62), le=2**62)]
Int32 = Annotated[int, Meta(ge=-(2**31), lt=2**31)]
CategoryId = Annotated[int, Meta(ge=1, le=10_000)]  # 0 is the background of detectors and "no match" in COCO tools

SPLIT_BOXES = pa.schema([field for field in schema.BOXES if field.name != "split"])
"""Columns of the boxes of a file. Which split a file describes is not in it."""

CHUNK_BYTES = 4 << 20
"""Size of the annotations that are decoded at a time. All of COCO's at once take longer, and a gigabyte of memory."""

ANNOTATIONS_START = re.compile(rb'"annotations"\s*:\s*\[')
ANNOTATION_BOUNDARY = re.compile(rb"\}\s*(,)\s*\{")
MAX_END_CANDIDATES = 8


class Image(msgspec.Struct, gc=False):
    """One entry of `images`."""

    id: Id
    file_name: str
    width: Int32
    height: Int32


class Annotation(msgspec.Struct, gc=False):
    """One entry of `annotations`. `bbox` is x, y, width and height in pixels."""

    id: Id
    image_id: Id
    category_id: Int32
    bbox: tuple[float, float, float, float]
    area: float | None = None
    iscrowd: Literal[0, 1] = 0


class Category(msgspec.Struct):
    """One entry of `categories`."""

    id: CategoryId
    name: str
    supercategory: str = ""


class Instances(msgspec.Struct):
    """The whole file. Other keys, such as `info` and `licenses`, are ignored."""

    images: list[Image]
    annotations: list[Annotation]
    categories: list[Category]


class InstanceTables(NamedTuple):
    """A decoded file, everything in its order.

    Attributes:
        images: the entries of `images`.
        categories: the entries of `categories`.
        boxes: the entries of `annotations`, as SPLIT_BOXES.

    """

    images: list[Image]
    categories: list[Category]
    boxes: pa.Table


class _Tail(msgspec.Struct):
    annotations: list[Annotation]


PLACEHOLDER = Annotation(id=2**62, image_id=0, category_id=0, bbox=(0, 0, 0, 0), area=0)


def decode(content: bytes, chunk_bytes: int = CHUNK_BYTES) -> InstanceTables:
    """Decode an instances file.

    An annotation without `area` gets the area of its box.

    Args:
        content: the file.
        chunk_bytes: size of the annotations that are decoded at a time.

    Raises:
        msgspec.DecodeError: if the file is not an instances file; the message names the position.

    """
    if located := _locate_annotations(content):
        rest, start, end = located
        try:
            batches = [_boxes(annotations) for annotations in _chunks(content, start, end, chunk_bytes)]
            return InstanceTables(rest.images, rest.categories, pa.Table.from_batches(batches, SPLIT_BOXES))
        except msgspec.DecodeError:
            pass  # only decoding the whole file gives the position of the error in the file
    instances = msgspec.json.decode(content, type=Instances)
    boxes = pa.Table.from_batches([_boxes(instances.annotations)], SPLIT_BOXES)
    return InstanceTables(instances.images, instances.categories, boxes)


def _locate_annotations(content: bytes) -> tuple[Instances, int, int] | None:
    """The file without its annotations, and their start and end; None if the file has another layout than COCO's.

    Start and end are guessed and then verified: if a placeholder replaces everything between them, the result must be a
    valid file whose only annotation is the placeholder. This skips the annotations, which are nearly all of the file.
    """
    opening = ANNOTATIONS_START.search(content)
    if opening is None:
        return None
    end = len(content)
    for _ in range(MAX_END_CANDIDATES):
        end = content.rfind(b"]", opening.end(), end)
        if end < 0:
            return None
        tail = msgspec.json.encode(PLACEHOLDER) + content[end:]
        # The tail alone is short, so it is tried first.
        if _has_only_placeholder(_decode_or_none(b'{"annotations":[' + tail, _Tail)):
            rest = _decode_or_none(content[: opening.end()] + tail, Instances)
            if rest is not None and _has_only_placeholder(rest):
                return rest, opening.end(), end
    return None


def _has_only_placeholder(decoded: Instances | _Tail | None) -> bool:
    return decoded is not None and decoded.annotations == [PLACEHOLDER]


DecodedT = TypeVar("DecodedT", Instances, _Tail)


def _decode_or_none(content: bytes, struct: type[DecodedT]) -> DecodedT | None:
    try:
        return msgspec.json.decode(content, type=struct)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _chunks(content: bytes, start: int, end: int, chunk_bytes: int) -> Iterator[list[Annotation]]:
    """Lists of the annotations between `start` and `end`.

    The end of each chunk is guessed. A wrong guess, inside an annotation or a string, leaves a bracket or a quote open,
    which does not decode. So either every guess was right, or msgspec.DecodeError is raised.
    """
    decoder = msgspec.json.Decoder(list[Annotation])
    while start < end:
        boundary = ANNOTATION_BOUNDARY.search(content, start + chunk_bytes, end)
        stop = boundary.start(1) if boundary else end
        yield decoder.decode(b"[" + content[start:stop] + b"]")
        start = stop + 1


def _boxes(annotations: list[Annotation]) -> pa.RecordBatch:
    def column(name: str, dtype: type[np.generic]) -> NDArray[Any]:
        return np.fromiter(map(attrgetter(name), annotations), dtype, len(annotations))

    numbers = chain.from_iterable(map(attrgetter("bbox"), annotations))
    boxes_xywh = np.fromiter(numbers, np.float64, 4 * len(annotations)).reshape(-1, 4)
    area = column("area", np.float64)
    missing = np.isnan(area)  # None becomes NaN, which JSON cannot contain
    with np.errstate(over="ignore"):  # infinite areas are found by pipeline.validation
        area[missing] = boxes_xywh[missing, 2] * boxes_xywh[missing, 3]
    columns = {
        "box_id": column("id", np.int64),
        "image_id": column("image_id", np.int64),
        "category_id": column("category_id", np.int32),
        **dict(zip(("x", "y", "width", "height"), boxes_xywh.T, strict=True)),
        "area": area,
        "is_crowd": column("iscrowd", np.bool_),
    }
    return pa.record_batch([pa.array(columns[field.name], field.type) for field in SPLIT_BOXES], SPLIT_BOXES)
