"""Which boxes of two versions are the same, whatever their ids and order."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.diff.matching import Changes, Column, Matching, Rows
from pipeline.geometry.boxes import Boxes, paired_iou, xywh_to_xyxy

MATCH_IOU = 0.5
"""Two boxes that overlap less are no match: one went and another came. The bound of Pascal VOC and of AP50."""

CHUNK_PAIRS = 1 << 20
"""Pairs of boxes whose overlap is worked out at once: a few hundred megabytes."""


@dataclass(frozen=True)
class BoxRows:
    """The boxes of one version. images, classes: places in the lists of both versions, the same for what was matched.

    boxes_xywh: pixels, [N, 4]. areas: square pixels of the objects' outlines, [N]. is_crowd: [N].
    """

    images: Rows
    classes: Rows
    boxes_xywh: Boxes
    areas: NDArray[np.float64]
    is_crowd: NDArray[np.bool_]

    def take(self, rows: Rows) -> "BoxRows":
        """Those rows, in that order."""
        return BoxRows(
            self.images[rows], self.classes[rows], self.boxes_xywh[rows], self.areas[rows], self.is_crowd[rows]
        )

    def place(self) -> list[Column]:
        """Image and coordinates as columns."""
        return [self.images, *self.boxes_xywh.T]

    def in_order(self) -> Rows:
        """The rows in an order that follows from what they hold: first by image."""
        return np.lexsort((self.areas, self.is_crowd, self.classes, *self.boxes_xywh.T[::-1], self.images))


def compare_boxes(before: BoxRows, after: BoxRows) -> Changes:
    """Match boxes within images that were matched: equal ones, then those at the same place, then by overlap.

    Of those that differ, boxes with equal coordinates belong together, with equal class first; then the pairs of one
    class by IoU, highest first, and at last those of different classes, down to MATCH_IOU. Kinds: came, went, moved
    (coordinates), label, crowd, and area for an outline of another area at the same place.
    """
    matching = Matching(len(before.images), len(after.images))
    matching.pair_equal(
        [*before.place(), before.classes, before.is_crowd, before.areas],
        [*after.place(), after.classes, after.is_crowd, after.areas],
    )
    rest_before, rest_after = matching.free()
    # In an order of their own, so that rows in another order, or sides exchanged, give the same pairs.
    rest_before = rest_before[before.take(rest_before).in_order()]
    rest_after = rest_after[after.take(rest_after).in_order()]
    pairs_before, pairs_after = _match_changed(before.take(rest_before), after.take(rest_after))
    matching.pair(rest_before[pairs_before], rest_after[pairs_after])
    matched = matching.result()
    moved = np.any([matched.differing(*sides) for sides in zip(before.place(), after.place(), strict=True)], axis=0)
    label = matched.differing(before.classes, after.classes)
    crowd = matched.differing(before.is_crowd, after.is_crowd)
    area = matched.differing(before.areas, after.areas) & ~moved
    return replace(matched, kinds={**matched.kinds, "moved": moved, "label": label, "crowd": crowd, "area": area})


def iou_of_pairs(before: Boxes, after: Boxes) -> NDArray[np.float64]:
    """IoU of box i before with box i after, both xywh [N, 4]."""
    return paired_iou(xywh_to_xyxy(before), xywh_to_xyxy(after))


def _match_changed(before: BoxRows, after: BoxRows) -> tuple[Rows, Rows]:
    """Pairs of boxes none of which is equal; both sides in order."""
    matching = Matching(len(before.images), len(after.images))
    matching.pair_equal([*before.place(), before.classes], [*after.place(), after.classes])
    matching.pair_equal(before.place(), after.place())
    free_before, free_after = matching.free()
    chosen_before, chosen_after = _best_first(before.take(free_before), after.take(free_after))
    matching.pair(free_before[chosen_before], free_after[chosen_after])
    pairs = matching.result()
    both = (pairs.before >= 0) & (pairs.after >= 0)
    return pairs.before[both], pairs.after[both]


def _best_first(before: BoxRows, after: BoxRows) -> tuple[Rows, Rows]:
    """Pairs that overlap by MATCH_IOU or more: of one class before others, then the highest IoU; no box twice."""
    chunks = list(_overlapping(before, after))
    rows_before, rows_after, iou = (np.concatenate(parts) for parts in zip(*chunks, strict=True))
    other_class = before.classes[rows_before] != after.classes[rows_after]
    order = np.lexsort((rows_after, rows_before, -iou, other_class))
    taken_before, taken_after = set[int](), set[int]()
    chosen = np.zeros(len(order), bool)
    for place, row_before, row_after in zip(
        order, rows_before[order].tolist(), rows_after[order].tolist(), strict=True
    ):
        if row_before not in taken_before and row_after not in taken_after:
            taken_before.add(row_before)
            taken_after.add(row_after)
            chosen[place] = True
    return rows_before[chosen], rows_after[chosen]


def _overlapping(before: BoxRows, after: BoxRows) -> Iterator[tuple[Rows, Rows, NDArray[np.float64]]]:
    """Rows before and after of one image that overlap by MATCH_IOU or more, and their IoU, a bounded number at once."""
    xyxy_before, xyxy_after = xywh_to_xyxy(before.boxes_xywh), xywh_to_xyxy(after.boxes_xywh)
    starts = np.searchsorted(after.images, before.images, side="left")
    counts = np.searchsorted(after.images, before.images, side="right") - starts
    chunks = np.cumsum(counts) // CHUNK_PAIRS
    for rows in np.split(np.arange(len(counts)), np.flatnonzero(np.diff(chunks)) + 1):
        rows_before = np.repeat(rows, counts[rows])
        first_pairs = np.cumsum(counts[rows]) - counts[rows]
        rows_after = np.arange(len(rows_before)) + np.repeat(starts[rows] - first_pairs, counts[rows])
        iou = paired_iou(xyxy_before[rows_before], xyxy_after[rows_after])
        near = iou >= MATCH_IOU
        yield rows_before[near], rows_after[near], iou[near]
