"""Matching of the boxes of two versions, independent of their ids and order."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.diff.row_matching import Changes, Column, Matching, Rows
from pipeline.geometry.boxes import Boxes, paired_iou, xywh_to_xyxy

MATCH_IOU = 0.5
"""Minimum IoU of a moved box. Pairs below are one removed and one added box. The threshold of Pascal VOC and AP50."""

CHUNK_PAIRS = 1 << 20
"""Pairs of boxes whose IoU is computed at once, which limits memory to a few hundred megabytes."""


@dataclass(frozen=True)
class BoxRows:
    """The boxes of one version.

    Attributes:
        images: index of the image in the changes of images, int64 [N], so that matched images have the same index.
        classes: index of the class in the changes of classes, int64 [N].
        boxes_xywh: pixels, [N, 4].
        areas: square pixels of the objects' segmentation masks, [N].
        is_crowd: bool [N].
        outlines: a number per outline, equal for equal outlines, int64 [N].

    """

    images: Rows
    classes: Rows
    boxes_xywh: Boxes
    areas: NDArray[np.float64]
    is_crowd: NDArray[np.bool_]
    outlines: NDArray[np.int64]

    def take(self, rows: Rows) -> "BoxRows":
        """Return some of the rows in the given order."""
        return BoxRows(
            self.images[rows],
            self.classes[rows],
            self.boxes_xywh[rows],
            self.areas[rows],
            self.is_crowd[rows],
            self.outlines[rows],
        )

    def position(self) -> list[Column]:
        """Return image and coordinates as columns."""
        return [self.images, *self.boxes_xywh.T]

    def sort_order(self) -> Rows:
        """Return the rows sorted by content: by image, then coordinates, class, crowd flag and area."""
        return np.lexsort((self.areas, self.is_crowd, self.classes, *self.boxes_xywh.T[::-1], self.images))


def compare_boxes(before: BoxRows, after: BoxRows) -> Changes:
    """Match the boxes within matched images.

    Equal boxes are matched first. Of the others, boxes with equal coordinates are matched, those of one class first;
    then pairs of one class by decreasing IoU down to MATCH_IOU, and then pairs of different classes.

    Returns:
        Changes of the kinds added, removed, moved (coordinates), class, crowd, and area and outline (others in the same
        box).

    """
    matching = Matching(len(before.images), len(after.images))
    matching.pair_equal(
        [*before.position(), before.classes, before.is_crowd, before.areas, before.outlines],
        [*after.position(), after.classes, after.is_crowd, after.areas, after.outlines],
    )
    rest_before, rest_after = matching.unmatched()
    # Sorted by content, so that neither the order of rows nor that of the versions changes the pairs.
    rest_before = rest_before[before.take(rest_before).sort_order()]
    rest_after = rest_after[after.take(rest_after).sort_order()]
    pairs_before, pairs_after = _match_changed(before.take(rest_before), after.take(rest_after))
    matching.pair(rest_before[pairs_before], rest_after[pairs_after])
    changes = matching.result()
    moved = np.any(
        [changes.differing(*columns) for columns in zip(before.position(), after.position(), strict=True)], axis=0
    )
    other_class = changes.differing(before.classes, after.classes)
    crowd = changes.differing(before.is_crowd, after.is_crowd)
    area = changes.differing(before.areas, after.areas) & ~moved
    outline = changes.differing(before.outlines, after.outlines) & ~moved
    kinds = {"moved": moved, "class": other_class, "crowd": crowd, "area": area, "outline": outline}
    return replace(changes, kinds={**changes.kinds, **kinds})


def _match_changed(before: BoxRows, after: BoxRows) -> tuple[Rows, Rows]:
    """Return pairs of boxes that are not equal; both versions must be sorted."""
    matching = Matching(len(before.images), len(after.images))
    matching.pair_equal([*before.position(), before.classes], [*after.position(), after.classes])
    matching.pair_equal(before.position(), after.position())
    rest_before, rest_after = matching.unmatched()
    pairs_before, pairs_after = _match_by_iou(before.take(rest_before), after.take(rest_after))
    matching.pair(rest_before[pairs_before], rest_after[pairs_after])
    changes = matching.result()
    is_pair = (changes.before >= 0) & (changes.after >= 0)
    return changes.before[is_pair], changes.after[is_pair]


def _match_by_iou(before: BoxRows, after: BoxRows) -> tuple[Rows, Rows]:
    """Match boxes greedily: pairs of one class before others, then by decreasing IoU down to MATCH_IOU."""
    chunks = list(_overlapping_pairs(before, after))
    rows_before, rows_after, iou = (np.concatenate(parts) for parts in zip(*chunks, strict=True))
    is_other_class = before.classes[rows_before] != after.classes[rows_after]
    order = np.lexsort((rows_after, rows_before, -iou, is_other_class))
    matched_before, matched_after = set[int](), set[int]()
    chosen = np.zeros(len(order), bool)
    for pair, row_before, row_after in zip(order, rows_before[order].tolist(), rows_after[order].tolist(), strict=True):
        if row_before not in matched_before and row_after not in matched_after:
            matched_before.add(row_before)
            matched_after.add(row_after)
            chosen[pair] = True
    return rows_before[chosen], rows_after[chosen]


def _overlapping_pairs(before: BoxRows, after: BoxRows) -> Iterator[tuple[Rows, Rows, NDArray[np.float64]]]:
    """Yield rows before, rows after and IoU of the pairs within an image with at least MATCH_IOU, in chunks."""
    xyxy_before, xyxy_after = xywh_to_xyxy(before.boxes_xywh), xywh_to_xyxy(after.boxes_xywh)
    starts = np.searchsorted(after.images, before.images, side="left")
    counts = np.searchsorted(after.images, before.images, side="right") - starts
    chunks = np.cumsum(counts) // CHUNK_PAIRS
    for rows in np.split(np.arange(len(counts)), np.flatnonzero(np.diff(chunks)) + 1):
        rows_before = np.repeat(rows, counts[rows])
        first_pairs = np.cumsum(counts[rows]) - counts[rows]
        rows_after = np.arange(len(rows_before)) + np.repeat(starts[rows] - first_pairs, counts[rows])
        iou = paired_iou(xyxy_before[rows_before], xyxy_after[rows_after])
        is_match = iou >= MATCH_IOU
        yield rows_before[is_match], rows_after[is_match], iou[is_match]
