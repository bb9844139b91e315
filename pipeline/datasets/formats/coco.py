"""COCO's instances format, decoded into typed structs: the file never becomes Python dicts."""

import re
from collections.abc import Iterator
from itertools import chain
from operator import attrgetter
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import numpy as np
import pyarrow as pa
from msgspec import Meta
from numpy.typing import NDArray

from pipeline.core import schema

# What fits the columns; whether an id or a size makes sense is for the checks to say.
Id = Annotated[int, Meta(ge=-(2**62), le=2**62)]
Int32 = Annotated[int, Meta(ge=-(2**31), lt=2**31)]
CategoryId = Annotated[int, Meta(ge=1, le=10_000)]  # 0 means "nothing" to detectors and "no match" to COCO tools

CHUNK_BYTES = 4 << 20
"""Annotations that are objects at one time. All of COCO's at once take longer, and a gigabyte."""

OPENING = re.compile(rb'"annotations"\s*:\s*\[')
BETWEEN = re.compile(rb"\}\s*(,)\s*\{")
MAX_GUESSES = 8


class Image(msgspec.Struct, gc=False):
    """One entry of `images`."""

    id: Id
    file_name: str
    width: Int32
    height: Int32


class Annotation(msgspec.Struct, gc=False):
    """One entry of `annotations`. `bbox` is x, y, width, height in pixels."""

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
    """The file. Other keys, such as `info` and `licenses`, are passed over."""

    images: list[Image]
    annotations: list[Annotation]
    categories: list[Category]


class _End(msgspec.Struct):
    annotations: list[Annotation]


PLACEHOLDER = Annotation(id=2**62, image_id=0, category_id=0, bbox=(0, 0, 0, 0), area=0)


def decode(content: bytes, chunk_bytes: int = CHUNK_BYTES) -> tuple[list[Image], list[Category], pa.Table]:
    """Images, categories and boxes (schema.BOXES) of an instances file, in its order.

    An annotation without `area` has that of its box. Raises msgspec.DecodeError naming the place.
    """
    if found := _find_annotations(content):
        rest, start, end = found
        try:
            batches = [_boxes(annotations) for annotations in _chunks(content, start, end, chunk_bytes)]
            return rest.images, rest.categories, pa.Table.from_batches(batches, schema.BOXES)
        except msgspec.DecodeError:
            pass  # decoded all at once, the mistake has a place
    whole = msgspec.json.decode(content, type=Instances)
    return whole.images, whole.categories, pa.Table.from_batches([_boxes(whole.annotations)], schema.BOXES)


def _find_annotations(content: bytes) -> tuple[Instances, int, int] | None:
    """The file without its annotations, and where these begin and end; None where it is not laid out as COCO's are.

    Begin and end are guessed, and then proven: with a placeholder between them the rest is a whole file, and the
    placeholder its only annotation. That takes no look at what lies between, which is nearly all of the file.
    """
    opening = OPENING.search(content)
    if opening is None:
        return None
    end = len(content)
    for _ in range(MAX_GUESSES):
        end = content.rfind(b"]", opening.end(), end)
        if end < 0:
            return None
        tail = msgspec.json.encode(PLACEHOLDER) + content[end:]
        if _is_only_annotation(_decoded(b'{"annotations":[' + tail, _End)):  # short, so tried first
            rest = _decoded(content[: opening.end()] + tail, Instances)
            if rest is not None and _is_only_annotation(rest):
                return rest, opening.end(), end
    return None


def _is_only_annotation(decoded: Instances | _End | None) -> bool:
    return decoded is not None and decoded.annotations == [PLACEHOLDER]


Decoded = TypeVar("Decoded", Instances, _End)


def _decoded(content: bytes, kind: type[Decoded]) -> Decoded | None:
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _chunks(content: bytes, start: int, end: int, chunk_bytes: int) -> Iterator[list[Annotation]]:
    """The annotations between `start` and `end`, some at a time.

    Where one ends is guessed. A wrong guess, inside an annotation or a text, leaves a bracket or a quote open, and what
    is not whole does not decode: so either every guess was right, or msgspec.DecodeError is raised.
    """
    decoder = msgspec.json.Decoder(list[Annotation])
    while start < end:
        between = BETWEEN.search(content, start + chunk_bytes, end)
        stop = between.start(1) if between else end
        yield decoder.decode(b"[" + content[start:stop] + b"]")
        start = stop + 1


def _boxes(annotations: list[Annotation]) -> pa.RecordBatch:
    def column(name: str, kind: type[np.generic]) -> NDArray[Any]:
        return np.fromiter(map(attrgetter(name), annotations), kind, len(annotations))

    corners = chain.from_iterable(map(attrgetter("bbox"), annotations))
    boxes_xywh = np.fromiter(corners, np.float64, 4 * len(annotations)).reshape(-1, 4)
    area = column("area", np.float64)
    missing = np.isnan(area)  # None became NaN, which JSON cannot say
    with np.errstate(over="ignore"):  # an infinite area is for the checks
        area[missing] = boxes_xywh[missing, 2] * boxes_xywh[missing, 3]
    columns = {
        "box_id": column("id", np.int64),
        "image_id": column("image_id", np.int64),
        "category_id": column("category_id", np.int32),
        **dict(zip(("x", "y", "width", "height"), boxes_xywh.T, strict=True)),
        "area": area,
        "is_crowd": column("iscrowd", np.bool_),
    }
    return pa.record_batch([pa.array(columns[field.name], field.type) for field in schema.BOXES], schema.BOXES)
