"""The checks of a dataset against an earlier version of it: how far it has moved."""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from pipeline.core.config import Fraction, NonNegativeFloat
from pipeline.core.formatting import format_percent
from pipeline.validation.base import DriftCheck, Findings
from pipeline.validation.statistics import DatasetStatistics

SHOWN_CLASSES = 3


class DriftOfClassFrequencies(DriftCheck):
    """The total variation distance of the classes' shares: the share of boxes that had to change their class, 0..1."""

    max_distance: Fraction

    def findings(self, before: DatasetStatistics, now: DatasetStatistics) -> Findings:
        """The distance, and the classes that moved most. Classes are matched by name."""
        old, new = _class_shares(before), _class_shares(now)
        changes = {name: new.get(name, 0.0) - old.get(name, 0.0) for name in old | new}
        distance = sum(abs(change) for change in changes.values()) / 2
        most = sorted(changes, key=lambda name: -abs(changes[name]))[:SHOWN_CLASSES]
        moves = [
            f"{name} {format_percent(old.get(name, 0))} → {format_percent(new.get(name, 0))}"
            for name in most
            if changes[name]
        ]
        return _distance(distance, self.max_distance, moves)


class DriftOfBoxSizes(DriftCheck):
    """The Kolmogorov-Smirnov distance of the boxes' relative sides: the largest gap between the two curves of shares
    below a size, 0..1.
    """

    max_distance: Fraction

    def findings(self, before: DatasetStatistics, now: DatasetStatistics) -> Findings:
        """The distance, and the medians."""
        old, new = before.relative_sides, now.relative_sides
        medians = []
        if len(old) and len(new):
            medians = [
                f"median {format_percent(np.median(old))} → {format_percent(np.median(new))} of the image's side"
            ]
        return _distance(largest_gap(old, new), self.max_distance, medians)


class DriftOfImageCount(DriftCheck):
    """More or fewer images, as a share of those before."""

    max_change: NonNegativeFloat

    def findings(self, before: DatasetStatistics, now: DatasetStatistics) -> Findings:
        """The change."""
        return _change(int(before.images.sum()), int(now.images.sum()), self.max_change)


class DriftOfBoxCount(DriftCheck):
    """More or fewer boxes, as a share of those before."""

    max_change: NonNegativeFloat

    def findings(self, before: DatasetStatistics, now: DatasetStatistics) -> Findings:
        """The change."""
        return _change(int(before.boxes.sum()), int(now.boxes.sum()), self.max_change)


class DriftOfImagesWithoutBoxes(DriftCheck):
    """A larger or smaller share of images without boxes, as the difference of the two shares."""

    max_change: Fraction

    def findings(self, before: DatasetStatistics, now: DatasetStatistics) -> Findings:
        """The two shares."""
        old, new = (one.images_without_boxes.sum() / max(1, one.images.sum()) for one in (before, now))
        measured = f"{format_percent(old)} → {format_percent(new)}"
        return Findings(measured, [measured] if abs(new - old) > self.max_change else [])


def largest_gap(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """The largest difference of the shares of both that are at most some value; 1 where only one of them is empty.

    >>> largest_gap(np.array([1.0, 2.0, 3.0, 4.0]), np.array([3.0, 4.0, 5.0, 6.0]))
    0.5
    """
    if not len(one) or not len(other):
        return float(len(one) != len(other))
    values = np.concatenate([one, other])
    below_one, below_other = (np.searchsorted(np.sort(part), values, side="right") / len(part) for part in (one, other))
    return float(np.abs(below_one - below_other).max())


def _class_shares(overview: DatasetStatistics) -> dict[str, float]:
    counts: Counter[str] = Counter()
    for name, count in zip(overview.names, overview.objects.sum(axis=1).tolist(), strict=True):
        counts[name] += count
    return {name: count / max(1, counts.total()) for name, count in counts.items()}


def _distance(distance: float, allowed: float, details: list[str]) -> Findings:
    measured = ": ".join([f"{distance:.3f}", *([", ".join(details)] if details else [])])
    return Findings(measured, [measured] if distance > allowed else [])


def _change(before: int, now: int, allowed: float) -> Findings:
    share = abs(now - before) / before if before else float(now > 0)
    measured = f"{before} → {now}"
    return Findings(measured, [measured] if share > allowed else [])
