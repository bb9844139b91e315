"""Measures published outlines with pycocotools: polygons, and run lengths as numbers or as COCO's compressed text.

The C code of pycocotools trusts its input and allocates what the input asks for, so an outline is checked here first.
"""

from typing import Annotated, Any

import msgspec
import numpy as np
import pyarrow as pa
from msgspec import Meta
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from pipeline.core.progress import ProgressBar

MAX_TEXT_BYTES = 16 << 20
"""Longest outline that is measured; COCO's longest has a hundredth of it."""

MAX_PERIMETER_PIXELS = 1 << 20
"""pycocotools allocates 80 bytes for each pixel that a polygon passes."""

MAX_IMAGE_PIXELS = 2**32 - 1
"""pycocotools counts the pixels of a run in 32 bits."""

CHUNK_ROWS = 255
"""Outlines that are measured at a time: pycocotools.mask.area raises OverflowError for 256 or more."""

BITS_PER_CHARACTER = 5
MAX_BITS_OF_COUNT = 35

COLUMNS = pa.schema(
    [
        pa.field("outline_problem", pa.string()),
        *(pa.field(f"outline_{name}", pa.float64()) for name in ("x", "y", "width", "height", "area")),
    ]
)
"""Why an outline cannot be measured, and its box and area in pixels; the box is null if the outline has no pixels."""


class _RunLengths(msgspec.Struct):
    size: tuple[int, int]  # height, width
    counts: list[Annotated[int, Meta(ge=0)]] | str


Polygons = list[list[float]]

_DECODER = msgspec.json.Decoder(Polygons | _RunLengths)


class OutlineError(ValueError):
    """An outline cannot be measured; the message says why."""


def measure_outlines(outlines: pa.ChunkedArray, heights: NDArray[np.int64], widths: NDArray[np.int64]) -> pa.Table:
    """Measure outlines.

    Args:
        outlines: the column `outline` of boxes, [N].
        heights: height of the image of each outline in pixels, [N]; 0 where it is unknown.
        widths: width, likewise.

    Returns:
        A table with COLUMNS, N rows. All are null where there is no outline or no image.

    """
    chunks = [COLUMNS.empty_table()]
    with ProgressBar("measuring outlines", len(outlines), "outline") as progress:
        for start in range(0, len(outlines), CHUNK_ROWS):
            stop = min(start + CHUNK_ROWS, len(outlines))
            texts = outlines.slice(start, stop - start).to_pylist()
            chunks.append(_measure(texts, heights[start:stop].tolist(), widths[start:stop].tolist()))
            progress.update(stop - start)
    return pa.concat_tables(chunks)


def _measure(texts: list[str | None], heights: list[int], widths: list[int]) -> pa.Table:
    problems: list[str | None] = [None] * len(texts)
    rows, masks = [], []
    for row, (text, height, width) in enumerate(zip(texts, heights, widths, strict=True)):
        if text is None or height < 1 or width < 1:
            continue
        try:
            masks.append(_mask(text, height, width))
            rows.append(row)
        except OutlineError as error:
            problems[row] = str(error)
    measured = np.full((len(texts), 5), np.nan)
    if masks:
        measured[rows, :4] = coco_mask.toBbox(masks)
        measured[rows, 4] = coco_mask.area(masks)
        measured[measured[:, 4] == 0, :4] = np.nan
    columns = [pa.array(problems, pa.string()), *(pa.array(column, from_pandas=True) for column in measured.T)]
    return pa.table(columns, COLUMNS)


def _mask(text: str, height: int, width: int) -> dict[str, Any]:
    """The mask of an outline as pycocotools represents it.

    Raises:
        OutlineError: if the outline is malformed, does not fit the image, or is too large to be measured.

    """
    if len(text) > MAX_TEXT_BYTES:
        raise OutlineError(f"{len(text):,} characters, the limit is {MAX_TEXT_BYTES:,}")
    if height * width > MAX_IMAGE_PIXELS:
        raise OutlineError(f"an image of {width} x {height} pixels, the limit is {MAX_IMAGE_PIXELS:,}")
    try:
        outline = _DECODER.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise OutlineError(f"neither polygons nor run lengths: {error}") from None
    if isinstance(outline, _RunLengths):
        return _mask_of_run_lengths(outline, height, width)
    return _mask_of_polygons(outline, height, width)


def _mask_of_polygons(polygons: Polygons, height: int, width: int) -> dict[str, Any]:
    side = max(height, width)
    perimeter_pixels = 0.0
    for polygon in polygons:
        if len(polygon) < 6 or len(polygon) % 2:
            raise OutlineError(f"a polygon of {len(polygon)} numbers, expected three or more points of x and y")
        low, high = min(polygon), max(polygon)
        if low < -side or high > 2 * side:
            far = low if low < -side else high
            raise OutlineError(f"a coordinate of {far:g}, far outside of the image of {width} x {height}")
        upper_bound = len(polygon) / 2 * (high - low)
        if perimeter_pixels + upper_bound > MAX_PERIMETER_PIXELS:
            points = np.array(polygon).reshape(-1, 2)
            perimeter_pixels += float(np.abs(points - np.roll(points, 1, axis=0)).max(axis=1).sum())
        else:
            perimeter_pixels += upper_bound
        if perimeter_pixels > MAX_PERIMETER_PIXELS:
            raise OutlineError(f"a perimeter above {MAX_PERIMETER_PIXELS:,} pixels")
    if not polygons:
        raise OutlineError("no polygon")
    masks = coco_mask.frPyObjects(polygons, height, width)
    return masks[0] if len(masks) == 1 else coco_mask.merge(masks)


def _mask_of_run_lengths(run_lengths: _RunLengths, height: int, width: int) -> dict[str, Any]:
    if run_lengths.size != (height, width):
        stated_height, stated_width = run_lengths.size
        raise OutlineError(f"run lengths of {stated_width} x {stated_height} pixels, the image has {width} x {height}")
    counts = run_lengths.counts
    is_compressed = isinstance(counts, str)
    numbers = decompress_counts(counts) if isinstance(counts, str) else counts
    if sum(numbers) != height * width or min(numbers) < 0:
        raise OutlineError(f"run lengths of {sum(numbers)} pixels, the image has {height * width}")
    size = [height, width]
    if is_compressed:
        return {"size": size, "counts": str(counts).encode()}
    return coco_mask.frPyObjects({"size": size, "counts": counts}, height, width)


def decompress_counts(text: str) -> list[int]:
    """The run lengths in COCO's compressed text: numbers of 5 bits per character, as differences from the last but one.

    Raises:
        OutlineError: if the text is not such a text.

    """
    counts: list[int] = []
    value = bits = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64 or bits >= MAX_BITS_OF_COUNT:
            raise OutlineError(f"compressed run lengths with {character!r} at an impossible place")
        value |= (code & 31) << bits
        bits += BITS_PER_CHARACTER
        if code & 32:  # more characters follow
            continue
        if code & 16:  # negative
            value -= 1 << bits
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = bits = 0
    if bits:
        raise OutlineError("compressed run lengths that end inside a number")
    return counts
