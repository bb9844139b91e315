"""Decodes COCO's instances format (JSON) into typed structs, without Python dictionaries in between.

A field that nobody uses never refuses a file, and null is as good as absent. Numbers may be written in any way that has
one meaning: 1, 1.0 or "1". A value that cannot be read stands as 0, NaN or empty text in the tables, with which its row
goes to quarantine; `InstanceTables.unreadable` names each of them.
"""

import math
import re
from collections.abc import Iterator
from itertools import chain
from operator import attrgetter
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec
import numpy as np
import pyarrow as pa
from msgspec import Meta, Raw
from numpy.typing import NDArray

from pipeline.core import schema
from pipeline.core.errors import truncate

# Ranges that fit the columns of the tables. Whether an id or a size makes sense is checked in pipeline.validation.
MAX_ID = 2**62
MAX_INT32 = 2**31 - 1
MAX_CATEGORY_ID = 10_000
"""The largest in the tables, and the least is 1: 0 is the background of detectors and "no match" in COCO tools."""

Id = Annotated[int, Meta(ge=-MAX_ID, le=MAX_ID)]
Int32 = Annotated[int, Meta(ge=-MAX_INT32, le=MAX_INT32)]

LARGEST_EXACT_FLOAT = 2**53
"""Above it, a number with a decimal point may be a rounded one, which names nothing."""

SPLIT_BOXES = pa.schema([field for field in schema.OUTLINED_BOXES if field.name != "split"])
"""Columns of the boxes of a file. Which split a file describes is not in it."""

CHUNK_BYTES = 4 << 20
"""Size of the annotations that are decoded at a time. All of COCO's at once take longer, and a gigabyte of memory."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
NO_OUTLINE = (b"", b"null", b"[]")
SHORTEST_OUTLINE_BYTES = 8
"""A text below it may be one of these, with spaces."""

WHOLE_NUMBER = re.compile(r"\s*([+-]?[0-9]{1,19})(?:\.0*)?\s*", re.ASCII)
ANNOTATIONS_START = re.compile(rb'"annotations"\s*:\s*\[')
ANNOTATION_BOUNDARY = re.compile(rb"\}\s*(,)\s*\{")
MAX_END_CANDIDATES = 8

# A string, or a number that Python and JavaScript write and JSON does not have, or one that may be too large for a
# float. The closing quote is optional, so that no string is scanned twice.
STRING_OR_NOT_FINITE = re.compile(
    rb'"(?:[^"\\]|\\.)*"?|-?\b(?:NaN|Infinity)\b|-?\b[0-9][0-9.]*(?:[eE]\+?[0-9]{2,})\b|-?\b[0-9]{300,}\b', re.DOTALL
)
OUT_OF_RANGE = "Number out of range"
"""What the decoder's message says of a number that no float holds."""

CONTEXT_BYTES = 20
"""How much of a malformed file an error message quotes."""


class Image(msgspec.Struct, gc=False):
    """One entry of `images`. Width and height are None if the file does not state both."""

    id: int
    file_name: str
    width: int | None
    height: int | None


class Annotation(msgspec.Struct, gc=False):
    """One entry of `annotations`. `bbox` is x, y, width and height in pixels."""

    id: Id
    image_id: Id
    category_id: Int32
    bbox: tuple[float, float, float, float]
    area: float | None = None
    iscrowd: bool | int | float | None = 0
    segmentation: Raw = Raw()


class Category(msgspec.Struct):
    """One entry of `categories`."""

    id: int
    name: str
    supercategory: str = ""


class Unreadable(NamedTuple):
    """A value that could not be read.

    Attributes:
        list_name: images, annotations or categories.
        number: of the entry in the list, from 0.
        key: of the value in the entry.
        problem: "received ..., expected ...".

    """

    list_name: str
    number: int
    key: str
    problem: str

    def __str__(self) -> str:
        return f"{self.list_name}[{self.number}].{self.key}: {self.problem}"


class Images(NamedTuple):
    """The entries of `images`, as columns: a million objects would take most of a gigabyte.

    Attributes:
        ids: int64 [N].
        file_names: text [N].
        sizes: width and height in pixels, int32 [N, 2]; 0, 0 where the file does not state both.
        has_size: whether it states both, bool [N].

    """

    ids: NDArray[np.int64]
    file_names: pa.StringArray
    sizes: NDArray[np.int32]
    has_size: NDArray[np.bool_]


class InstanceTables(NamedTuple):
    """A decoded file, everything in its order.

    Attributes:
        images: the entries of `images`.
        categories: the entries of `categories`.
        boxes: the entries of `annotations`, as SPLIT_BOXES.
        unreadable: the values that could not be read.

    """

    images: Images
    categories: list[Category]
    boxes: pa.Table
    unreadable: list[Unreadable]


class _AnyImage(msgspec.Struct, gc=False):
    id: Any = None
    file_name: Any = None
    width: Any = None
    height: Any = None


class _AnyAnnotation(msgspec.Struct, gc=False):
    id: Any = None
    image_id: Any = None
    category_id: Any = None
    bbox: Any = None
    area: Any = None
    iscrowd: Any = None
    segmentation: Raw = Raw()


class _AnyCategory(msgspec.Struct):
    id: Any = None
    name: Any = None
    supercategory: Any = None


class _File(msgspec.Struct):
    """The whole file. Other keys, such as `info` and `licenses`, are ignored."""

    images: list[_AnyImage] | None
    annotations: list[_AnyAnnotation] | None = None
    categories: list[_AnyCategory] | None = None


class _CompleteFile(_File):
    """A file that has all three lists: without `categories`, an end of the annotations cannot be verified."""

    annotations: list[_AnyAnnotation]
    categories: list[_AnyCategory] | None


class _Tail(msgspec.Struct):
    annotations: list[_AnyAnnotation]


PLACEHOLDER_ID = "placeholder of all annotations"


def decode(content: bytes, chunk_bytes: int = CHUNK_BYTES) -> InstanceTables:
    """Decode an instances file.

    An annotation without `area` gets the area of its box.

    Args:
        content: the file.
        chunk_bytes: size of the annotations that are decoded at a time.

    Raises:
        msgspec.DecodeError: if the file is not an instances file; the message names the position.
        UnicodeDecodeError: if it is not UTF-8.
        RecursionError: if it is nested too deeply.

    """
    content = content.removeprefix(BYTE_ORDER_MARK)
    try:
        return _decode(content, chunk_bytes)
    except UnicodeDecodeError:
        content.decode()  # raises the same with the position in the file, instead of that in a value
        raise
    except msgspec.DecodeError as error:
        if b"NaN" not in content and b"Infinity" not in content and not str(error).startswith(OUT_OF_RANGE):
            raise
        return _decode(STRING_OR_NOT_FINITE.sub(_null_if_not_finite, content), chunk_bytes)


def describe_failure(content: bytes, error: Exception) -> str:
    """What `decode` raised, with the bytes at the position that the message names, if any."""
    position = re.search(r"\(byte (\d+)\)", str(error))
    if position is None:
        return str(error)
    start = int(position[1])
    return f"{error}, received {content[start : start + CONTEXT_BYTES].decode(errors='replace')!r}"


def _null_if_not_finite(match: re.Match[bytes]) -> bytes:
    text = match[0]
    is_kept = text.startswith(b'"') or (text[-1:].isdigit() and _number(text.decode()) is not None)
    return text if is_kept else b"null"


def _decode(content: bytes, chunk_bytes: int) -> InstanceTables:
    if located := _locate_annotations(content):
        rest, start, end = located
        reader = _ValueReader()
        images, rest.images = _images(rest.images or [], reader), None  # before there are boxes, too
        try:
            batches = list(_batches(content, start, end, chunk_bytes, reader))
        except msgspec.DecodeError:
            pass  # only decoding the whole file gives the position of the error in the file
        else:
            boxes = pa.Table.from_batches(batches, SPLIT_BOXES)
            return InstanceTables(images, _categories(rest.categories or [], reader), boxes, reader.unreadable)
    file = msgspec.json.decode(content, type=_File)
    reader = _ValueReader()
    images = _images(file.images or [], reader)
    annotations = [reader.annotation(number, one) for number, one in enumerate(file.annotations or [])]
    boxes = pa.Table.from_batches([_boxes(annotations)], SPLIT_BOXES)
    return InstanceTables(images, _categories(file.categories or [], reader), boxes, reader.unreadable)


def _images(entries: list[_AnyImage], reader: "_ValueReader") -> Images:
    ids, sizes = np.zeros(len(entries), np.int64), np.zeros((len(entries), 2), np.int32)
    file_names, has_size = [], np.zeros(len(entries), bool)
    for number, entry in enumerate(entries):
        image = reader.image(number, entry)
        ids[number] = image.id
        file_names.append(image.file_name)
        if image.width is not None and image.height is not None:
            sizes[number] = image.width, image.height
            has_size[number] = True
    return Images(ids, pa.array(file_names, pa.string()), sizes, has_size)


def _categories(entries: list[_AnyCategory], reader: "_ValueReader") -> list[Category]:
    return [reader.category(number, entry) for number, entry in enumerate(entries)]


def _locate_annotations(content: bytes) -> tuple[_File, int, int] | None:
    """The file without its annotations, and their start and end; None if the file has another layout than COCO's.

    Start and end are guessed and then verified: if a placeholder replaces everything between them, the result must be a
    valid file whose only annotation is the placeholder. This skips the annotations, which are nearly all of the file.
    """
    opening = ANNOTATIONS_START.search(content)
    if opening is None:
        return None
    placeholder = msgspec.json.encode({"id": PLACEHOLDER_ID})
    end = len(content)
    for _ in range(MAX_END_CANDIDATES):
        end = content.rfind(b"]", opening.end(), end)
        if end < 0:
            return None
        tail = placeholder + content[end:]
        # The tail alone is short, so it is tried first.
        if _has_only_placeholder(_decode_or_none(b'{"annotations":[' + tail, _Tail)):
            rest = _decode_or_none(content[: opening.end()] + tail, _CompleteFile)
            if rest is not None and _has_only_placeholder(rest):
                return rest, opening.end(), end
    return None


def _has_only_placeholder(decoded: _CompleteFile | _Tail | None) -> bool:
    return decoded is not None and [one.id for one in decoded.annotations] == [PLACEHOLDER_ID]


DecodedT = TypeVar("DecodedT", _CompleteFile, _Tail)


def _decode_or_none(content: bytes, struct: type[DecodedT]) -> DecodedT | None:
    try:
        return msgspec.json.decode(content, type=struct)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _batches(
    content: bytes, start: int, end: int, chunk_bytes: int, reader: "_ValueReader"
) -> Iterator[pa.RecordBatch]:
    """The annotations between `start` and `end` in batches.

    The end of each chunk is guessed. A wrong guess, inside an annotation or a string, leaves a bracket or a quote open,
    which does not decode. So either every guess was right, or msgspec.DecodeError is raised.
    """
    decoder = msgspec.json.Decoder(list[Annotation])
    tolerant_decoder = msgspec.json.Decoder(list[_AnyAnnotation])
    num_annotations = 0
    while start < end:
        boundary = ANNOTATION_BOUNDARY.search(content, start + chunk_bytes, end)
        stop = boundary.start(1) if boundary else end
        chunk = b"[" + content[start:stop] + b"]"
        try:
            annotations = decoder.decode(chunk)
            has_valid_flags = {one.iscrowd for one in annotations} <= {None, 0, 1}  # True == 1, 0.0 == 0
        except msgspec.ValidationError:
            has_valid_flags = False
        if not has_valid_flags:
            entries = enumerate(tolerant_decoder.decode(chunk), num_annotations)
            annotations = [reader.annotation(number, one) for number, one in entries]
        num_annotations += len(annotations)
        yield _boxes(annotations)
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
        "is_crowd": column("iscrowd", np.float64) == 1,  # None becomes NaN
    }
    arrays = [pa.array(columns[name], SPLIT_BOXES.field(name).type) for name in SPLIT_BOXES.names[:-1]]
    return pa.record_batch([*arrays, _outlines([one.segmentation for one in annotations])], SPLIT_BOXES)


def _outlines(segmentations: list[Raw]) -> pa.Array:
    """The texts as published, joined without a Python object for each; null where absent, null or an empty list."""
    lengths = np.fromiter(map(len, segmentations), np.int64, len(segmentations))
    joined = b"".join(segmentations)
    joined.decode()  # raises UnicodeDecodeError; Arrow trusts the buffer
    is_outline = np.ones(len(lengths), bool)
    for row in np.flatnonzero(lengths < SHORTEST_OUTLINE_BYTES).tolist():
        is_outline[row] = b"".join(bytes(segmentations[row]).split()) not in NO_OUTLINE
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    validity = np.packbits(is_outline, bitorder="little").tobytes()
    buffers = [pa.py_buffer(validity), pa.py_buffer(offsets), pa.py_buffer(joined)]
    return pa.LargeStringArray.from_buffers(len(lengths), *buffers[1:], buffers[0])


class _ValueReader:
    """Reads values of any type, and lists those that cannot be read."""

    def __init__(self) -> None:
        self.unreadable: list[Unreadable] = []

    def image(self, number: int, entry: _AnyImage) -> Image:
        list_name = "images"
        image_id = self._whole_number(list_name, number, "id", entry.id, MAX_ID)
        name = entry.file_name if isinstance(entry.file_name, str) else None
        file_name = self._required(list_name, number, "file_name", entry.file_name, name, "", "text")
        width, height = (_whole(size, MAX_INT32) for size in (entry.width, entry.height))
        is_stated = width is not None and height is not None
        return Image(image_id, file_name, width if is_stated else None, height if is_stated else None)

    def category(self, number: int, entry: _AnyCategory) -> Category:
        read_id = _whole(entry.id, MAX_INT32)
        category_id = self._required("categories", number, "id", entry.id, read_id, 0, "a whole number")
        return Category(category_id, _text(entry.name), _text(entry.supercategory))

    def annotation(self, number: int, entry: _AnyAnnotation) -> Annotation:
        list_name = "annotations"
        box_id, image_id, category_id = (
            self._whole_number(list_name, number, name, value, limit)
            for name, value, limit in (
                ("id", entry.id, MAX_ID),
                ("image_id", entry.image_id, MAX_ID),
                ("category_id", entry.category_id, MAX_INT32),
            )
        )
        nowhere = (math.nan,) * 4
        read_box = _four_numbers(entry.bbox)
        box_xywh = self._required(list_name, number, "bbox", entry.bbox, read_box, nowhere, "four numbers")
        is_crowd = self._required(list_name, number, "iscrowd", entry.iscrowd, _flag(entry.iscrowd), None, "0 or 1")
        if is_crowd is None:
            box_xywh = nowhere  # neither an object nor a crowd region: sends the row to quarantine
        area = _number(entry.area)
        return Annotation(box_id, image_id, category_id, box_xywh, area, is_crowd, entry.segmentation)

    def _whole_number(self, list_name: str, number: int, key: str, received: object, limit: int) -> int:
        expected = f"a whole number from -{limit} to {limit}"
        if isinstance(received, float) and abs(received) > LARGEST_EXACT_FLOAT:
            expected += ", written in digits alone"
        value: int = self._required(list_name, number, key, received, _whole(received, limit), 0, expected)
        return value

    def _required(
        self, list_name: str, number: int, key: str, received: object, value: Any, default: Any, expected: str
    ) -> Any:
        if value is not None:
            return value
        self.unreadable.append(Unreadable(list_name, number, key, f"received {_shown(received)}, expected {expected}"))
        return default


def _shown(value: object) -> str:
    return "null or nothing" if value is None else truncate(repr(value))


def _whole(value: object, limit: int) -> int | None:
    """A whole number of any notation with an absolute value of at most `limit`; None for anything else."""
    number = None
    if type(value) is int:  # not bool
        number = value
    elif isinstance(value, float) and value.is_integer() and abs(value) <= LARGEST_EXACT_FLOAT:
        number = int(value)
    elif isinstance(value, str) and (match := WHOLE_NUMBER.fullmatch(value)):
        number = int(match[1])
    return number if number is not None and abs(number) <= limit else None


def _number(value: object) -> float | None:
    """A finite number of any notation; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _four_numbers(value: object) -> tuple[float, ...] | None:
    numbers = [_number(one) for one in value] if isinstance(value, list) else []
    found = tuple(number for number in numbers if number is not None)
    return found if len(found) == len(numbers) == 4 else None


def _flag(value: object) -> bool | None:
    """0 or 1 of any notation, null is 0; None for anything else."""
    number = 0 if value is None else int(value) if isinstance(value, bool) else _whole(value, 1)
    return None if number is None or number < 0 else bool(number)


def _text(value: object) -> str:
    """Text as it is, a number in digits; anything else is empty."""
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
