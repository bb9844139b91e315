"""What changed in single images: a bounded number of them, with their boxes before and after."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import BoxlineError
from pipeline.diff.boxes import BoxRows, iou_of_pairs
from pipeline.diff.difference import Difference, Side
from pipeline.diff.matching import Rows
from pipeline.diff.thumbnails import Pixels
from pipeline.geometry.boxes import xywh_to_xyxy
from pipeline.html.page_template import data_url
from pipeline.packing.shards import evenly_spaced

NUM_PICTURES = 48
"""Images of one dataset; each takes about 60 kB."""

NUM_BOXES = 100
"""Of one image, those that changed before the others."""

DECIMALS = 5
"""Of coordinates: a hundredth of a pixel in an image of 1000 px."""

OTHER_PICTURE = {"image pixels", "image size"}
"""Kinds of change after which an image has two pictures, each with its own boxes."""


class Outline(msgspec.Struct, frozen=True, array_like=True):
    """A box in one version: its edges as fractions of the image, and its class's place in the list of both versions."""

    min_x: float
    min_y: float
    max_x: float
    max_y: float
    label: int
    is_crowd: bool


class Frame(msgspec.Struct, frozen=True):
    """Pixels of an image, as a `data:` address, or `missing`, why there are none.

    side: whose boxes it shows, "before", "after" or "both". width, height: pixels of the original.
    """

    side: str
    width: int
    height: int
    source: str | None
    missing: str | None


class BoxChange(msgspec.Struct, frozen=True):
    """A box and what happened to it, nothing where `kinds` is empty; None in a version that does not have it.

    iou: of both outlines, where it moved.
    """

    kinds: list[str]
    before: Outline | None
    after: Outline | None
    iou: float | None


class Picture(msgspec.Struct, frozen=True):
    """An image that changed. before, after: split and file name; None in a version that does not have it."""

    before: tuple[str, str] | None
    after: tuple[str, str] | None
    kinds: list[str]
    frames: list[Frame]
    boxes: list[BoxChange]
    boxes_left_out: int


def kinds_of_images(difference: Difference) -> dict[str, NDArray[np.bool_]]:
    """Which images have a change of which kind, bool [images]: one of their own, "image ...", or of a box, "box ...".

    Boxes that came or went with their image are no news beside it.
    """
    images, boxes = difference.images, difference.boxes
    in_both = ~images.kinds["came"] & ~images.kinds["went"]
    of_boxes = _images_of_boxes(difference)
    found = {f"image {kind}": where for kind, where in images.kinds.items()}
    for kind, where in boxes.kinds.items():
        found[f"box {kind}"] = in_both & (np.bincount(of_boxes[where], minlength=len(images)) > 0)
    return found


def choose(kinds: Mapping[str, NDArray[np.bool_]], count: int) -> Rows:
    """At most `count` images, sorted: an equal share of each kind, first to last at equal steps.

    The rarest kind chooses first, and what it leaves of its share falls to the others.

    >>> often, seldom = np.arange(100) < 90, np.arange(100) == 95
    >>> choose({"often": often, "seldom": seldom, "never": np.zeros(100, bool)}, 4).tolist()
    [0, 44, 89, 95]
    """
    waiting = sorted((np.flatnonzero(where) for where in kinds.values() if where.any()), key=len)
    chosen = np.empty(0, np.int64)
    for place, candidates in enumerate(waiting):
        share = -(-(count - len(chosen)) // (len(waiting) - place))
        chosen = np.concatenate([chosen, evenly_spaced(np.setdiff1d(candidates, chosen), share)])
    return np.sort(chosen)


def draw(difference: Difference, places: Rows, pixels_before: Pixels, pixels_after: Pixels) -> Iterator[Picture]:
    """The images at those places of `difference.images`, with their boxes."""
    kinds, of_boxes = kinds_of_images(difference), _images_of_boxes(difference)
    for place in places:
        before = _row(difference.before, int(difference.images.before[place]))
        after = _row(difference.after, int(difference.images.after[place]))
        boxes = np.flatnonzero(of_boxes == place)
        boxes = boxes[np.argsort(~difference.boxes.changed[boxes], kind="stable")]
        its_kinds = [kind for kind, where in kinds.items() if where[place]]
        sides = [("before", before, pixels_before), ("after", after, pixels_after)]
        sources = [(name, row, pixels) for name, row, pixels in sides if row is not None]
        if len(sources) == 1 or OTHER_PICTURE & set(its_kinds):
            frames = [_frame(name, [(row, pixels)]) for name, row, pixels in sources]
        else:
            frames = [_frame("both", [(row, pixels) for _, row, pixels in reversed(sources)])]
        yield Picture(
            None if before is None else (before["split"], before["file_name"]),
            None if after is None else (after["split"], after["file_name"]),
            its_kinds,
            frames,
            [_box_change(difference, int(box), before, after) for box in boxes[:NUM_BOXES]],
            max(0, len(boxes) - NUM_BOXES),
        )


def _images_of_boxes(difference: Difference) -> Rows:
    """The place of the image of each box of `difference.boxes`, int64 [N]."""
    before, after = difference.boxes_before.images, difference.boxes_after.images
    # A box that is not there has row -1, which is the number that is added at the end.
    return np.maximum(np.append(before, -1)[difference.boxes.before], np.append(after, -1)[difference.boxes.after])


def _row(side: Side, row: int) -> dict[str, Any] | None:
    if row < 0:
        return None
    found: dict[str, Any] = side.images.slice(row, 1).to_pylist()[0]
    return found


def _frame(side: str, sources: list[tuple[dict[str, Any], Pixels]]) -> Frame:
    """From the first source that has the pixels; where none has them, the first one's reason."""
    first, _ = sources[0]
    reasons = []
    for row, pixels in sources:
        try:
            address = data_url(pixels.small_jpeg(row), "jpeg")
        except BoxlineError as error:
            reasons.append(str(error).strip())
        else:
            return Frame(side, first["width"], first["height"], address, None)
    return Frame(side, first["width"], first["height"], None, reasons[0])


def _box_change(
    difference: Difference, box: int, before: dict[str, Any] | None, after: dict[str, Any] | None
) -> BoxChange:
    changes = difference.boxes
    row_before, row_after = int(changes.before[box]), int(changes.after[box])
    iou = None
    if changes.kinds["moved"][box]:
        boxes = difference.boxes_before.boxes_xywh[row_before], difference.boxes_after.boxes_xywh[row_after]
        iou = round(float(iou_of_pairs(*boxes)[0]), 4)
    return BoxChange(
        [f"box {kind}" for kind, where in changes.kinds.items() if where[box]],
        _outline(difference.boxes_before, row_before, before),
        _outline(difference.boxes_after, row_after, after),
        iou,
    )


def _outline(boxes: BoxRows, row: int, image: dict[str, Any] | None) -> Outline | None:
    if row < 0 or image is None:
        return None
    size = np.maximum([image["width"], image["height"]] * 2, 1)
    left, top, right, bottom = (xywh_to_xyxy(boxes.boxes_xywh[row])[0] / size).round(DECIMALS).tolist()
    return Outline(left, top, right, bottom, int(boxes.classes[row]), bool(boxes.is_crowd[row]))
