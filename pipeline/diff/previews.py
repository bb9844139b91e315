"""Previews of changed images for the HTML page: a limited number of images with their boxes before and after."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import BoxlineError
from pipeline.diff.box_matching import BoxRows
from pipeline.diff.difference import Difference, Snapshot
from pipeline.diff.row_matching import Rows
from pipeline.diff.thumbnails import ThumbnailReader
from pipeline.geometry.boxes import paired_iou, xywh_to_xyxy
from pipeline.html.page_template import data_url
from pipeline.packing.shards import evenly_spaced

MAX_PREVIEWS = 48
"""Images per dataset; each takes about 60 kB of the page."""

MAX_BOXES = 100
"""Boxes per image; changed boxes take precedence."""

DECIMALS = 5
"""Of relative coordinates: a hundredth of a pixel in an image of 1000 px."""

OTHER_PIXELS = {"image pixels", "image size"}
"""Kinds of change for which a preview has two frames, each with the boxes of its version."""


class PreviewBox(msgspec.Struct, frozen=True, array_like=True):
    """A box in one version: edges as fractions of the image, index of the class in the list of classes, crowd flag."""

    min_x: float
    min_y: float
    max_x: float
    max_y: float
    class_index: int
    is_crowd: bool


class Frame(msgspec.Struct, frozen=True):
    """The thumbnail of an image in one version, or in both if they have the same pixels.

    Attributes:
        version: the version whose boxes the frame shows: "before", "after" or "both".
        width: pixels of the original.
        height: pixels of the original.
        source: the thumbnail as a `data:` URL; None if there is none.
        missing: why there is no thumbnail; None if there is one.

    """

    version: str
    width: int
    height: int
    source: str | None
    missing: str | None


class BoxChange(msgspec.Struct, frozen=True):
    """A box before and after.

    Attributes:
        kinds: its kinds of change; empty for an unchanged box.
        before: the box before; None for an added one.
        after: the box after; None for a removed one.
        iou: IoU of both if the box moved.

    """

    kinds: list[str]
    before: PreviewBox | None
    after: PreviewBox | None
    iou: float | None


class Preview(msgspec.Struct, frozen=True):
    """A changed image.

    Attributes:
        before: split and file name before; None for an added image.
        after: split and file name after; None for a removed image.
        kinds: kinds of change of the image and of its boxes.
        frames: one or two frames.
        boxes: the boxes, changed ones first, at most MAX_BOXES.
        boxes_omitted: number of boxes beyond that.

    """

    before: tuple[str, str] | None
    after: tuple[str, str] | None
    kinds: list[str]
    frames: list[Frame]
    boxes: list[BoxChange]
    boxes_omitted: int


def image_change_kinds(difference: Difference) -> dict[str, NDArray[np.bool_]]:
    """Return a mask of the images with each kind of change, bool [images].

    The keys are "image KIND" for changes of the image and "box KIND" for changes of its boxes. Boxes that were added
    or removed together with their image do not count.
    """
    images, boxes = difference.images, difference.boxes
    in_both = ~images.kinds["added"] & ~images.kinds["removed"]
    image_of_boxes = _image_of_boxes(difference)
    kinds = {f"image {kind}": mask for kind, mask in images.kinds.items()}
    for kind, mask in boxes.kinds.items():
        kinds[f"box {kind}"] = in_both & (np.bincount(image_of_boxes[mask], minlength=len(images)) > 0)
    return kinds


def select_images(kinds: Mapping[str, NDArray[np.bool_]], count: int) -> Rows:
    """Select images for previews: equal numbers of each kind of change, evenly spaced within the kind.

    The rarest kind is served first; what it cannot use of its share is left to the others.

    Args:
        kinds: masks from `image_change_kinds`.
        count: maximum number of images.

    Returns:
        Sorted indices of at most `count` images.

    >>> frequent, rare = np.arange(100) < 90, np.arange(100) == 95
    >>> select_images({"frequent": frequent, "rare": rare, "none": np.zeros(100, bool)}, 4).tolist()
    [0, 44, 89, 95]

    """
    remaining = sorted((np.flatnonzero(mask) for mask in kinds.values() if mask.any()), key=len)
    selected = np.empty(0, np.int64)
    for position, candidates in enumerate(remaining):
        quota = -(-(count - len(selected)) // (len(remaining) - position))
        selected = np.concatenate([selected, evenly_spaced(np.setdiff1d(candidates, selected), quota)])
    return np.sort(selected)


def make_previews(
    difference: Difference, indices: Rows, thumbnails_before: ThumbnailReader, thumbnails_after: ThumbnailReader
) -> Iterator[Preview]:
    """Yield a preview of each image; `indices` refer to `difference.images`."""
    kinds, image_of_boxes = image_change_kinds(difference), _image_of_boxes(difference)
    for index in indices:
        before = _image_row(difference.before, int(difference.images.before[index]))
        after = _image_row(difference.after, int(difference.images.after[index]))
        boxes = np.flatnonzero(image_of_boxes == index)
        boxes = boxes[np.argsort(~difference.boxes.changed[boxes], kind="stable")]
        image_kinds = [kind for kind, mask in kinds.items() if mask[index]]
        versions = [("before", before, thumbnails_before), ("after", after, thumbnails_after)]
        sources = [(version, row, thumbnails) for version, row, thumbnails in versions if row is not None]
        if len(sources) == 1 or OTHER_PIXELS & set(image_kinds):
            frames = [_frame(version, [(row, thumbnails)]) for version, row, thumbnails in sources]
        else:
            frames = [_frame("both", [(row, thumbnails) for _, row, thumbnails in reversed(sources)])]
        yield Preview(
            None if before is None else (before["split"], before["file_name"]),
            None if after is None else (after["split"], after["file_name"]),
            image_kinds,
            frames,
            [_box_change(difference, int(box), before, after) for box in boxes[:MAX_BOXES]],
            max(0, len(boxes) - MAX_BOXES),
        )


def _image_of_boxes(difference: Difference) -> Rows:
    """Return the index of the image of each box in `difference.boxes`, int64 [N]."""
    before, after = difference.boxes_before.images, difference.boxes_after.images
    # Row -1 stands for a missing box; it selects the -1 that is appended here.
    return np.maximum(np.append(before, -1)[difference.boxes.before], np.append(after, -1)[difference.boxes.after])


def _image_row(snapshot: Snapshot, row: int) -> dict[str, Any] | None:
    if row < 0:
        return None
    image: dict[str, Any] = snapshot.images.slice(row, 1).to_pylist()[0]
    return image


def _frame(version: str, sources: list[tuple[dict[str, Any], ThumbnailReader]]) -> Frame:
    """Make a frame from the first source with a thumbnail; if none has one, give the first source's reason."""
    first, _ = sources[0]
    reasons = []
    for row, thumbnails in sources:
        try:
            url = data_url(thumbnails.read_jpeg(row), "jpeg")
        except BoxlineError as error:
            reasons.append(str(error).strip())
        else:
            return Frame(version, first["width"], first["height"], url, None)
    return Frame(version, first["width"], first["height"], None, reasons[0])


def _box_change(
    difference: Difference, box: int, image_before: dict[str, Any] | None, image_after: dict[str, Any] | None
) -> BoxChange:
    changes = difference.boxes
    row_before, row_after = int(changes.before[box]), int(changes.after[box])
    iou = None
    if changes.kinds["moved"][box]:
        xywh_before = difference.boxes_before.boxes_xywh[row_before]
        xywh_after = difference.boxes_after.boxes_xywh[row_after]
        iou = round(float(paired_iou(xywh_to_xyxy(xywh_before), xywh_to_xyxy(xywh_after))[0]), 4)
    return BoxChange(
        [f"box {kind}" for kind, mask in changes.kinds.items() if mask[box]],
        _preview_box(difference.boxes_before, row_before, image_before),
        _preview_box(difference.boxes_after, row_after, image_after),
        iou,
    )


def _preview_box(boxes: BoxRows, row: int, image: dict[str, Any] | None) -> PreviewBox | None:
    if row < 0 or image is None:
        return None
    size = np.maximum([image["width"], image["height"]] * 2, 1)
    left, top, right, bottom = (xywh_to_xyxy(boxes.boxes_xywh[row])[0] / size).round(DECIMALS).tolist()
    return PreviewBox(left, top, right, bottom, int(boxes.classes[row]), bool(boxes.is_crowd[row]))
