"""The checks of a dataset against an earlier version: how far its distributions have moved."""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from pipeline.core.config import Fraction, NonNegativeFloat
from pipeline.core.formatting import format_percent
from pipeline.validation.base import DriftCheck, Findings
from pipeline.validation.statistics import DatasetStatistics

MAX_LISTED_CLASSES = 3
"""Classes in the text of a finding, those with the largest changes."""


class DriftOfClassFrequencies(DriftCheck):
    """A total variation distance of the class frequencies above max_distance.

    It is the fraction of boxes whose class would have to change, 0..1.
    """

    max_distance: Fraction

    def measure(self, before: DatasetStatistics, now: DatasetStatistics) -> Findings:
        # Classes are matched by name, because ids may change between versions.
        old, new = _class_frequencies(before), _class_frequencies(now)
        changes = {name: new.get(name, 0.0) - old.get(name, 0.0) for name in old | new}
        distance = sum(abs(change) for change in changes.values()) / 2
        largest = sorted(changes, key=lambda name: -abs(changes[name]))[:MAX_LISTED_CLASSES]
        moves = [
            f"{name} {format_percent(old.get(name, 0))} → {format_percent(new.get(name, 0))}"
            for name in largest
            if changes[name]
        ]
        return _distance(distance, self.max_distance, moves)


class DriftOfBoxSizes(DriftCheck):
    """A Kolmogorov-Smirnov distance of the relative box sides above max_distance.

    It is the largest difference between the two fractions of boxes below a size, 0..1.
    """

    max_distance: Fraction

    def measure(self, before: DatasetStatistics, now: DatasetStatistics) -> Findings:
        old, new = before.relative_sides, now.relative_sides
        medians = []
        if len(old) and len(new):
            medians = [
                f"median {format_percent(np.median(old))} → {format_percent(np.median(new))} of the image's side"
            ]
        return _distance(kolmogorov_smirnov_distance(old, new), self.max_distance, medians)


class DriftOfImageCount(DriftCheck):
    """A number of images that changed by more than max_change, as a fraction of the earlier number."""

    max_change: NonNegativeFloat

    def measure(self, before: DatasetStatistics, now: DatasetStatistics) -> Findings:
        return _change(int(before.images.sum()), int(now.images.sum()), self.max_change)


class DriftOfBoxCount(DriftCheck):
    """A number of boxes that changed by more than max_change, as a fraction of the earlier number."""

    max_change: NonNegativeFloat

    def measure(self, before: DatasetStatistics, now: DatasetStatistics) -> Findings:
        return _change(int(before.boxes.sum()), int(now.boxes.sum()), self.max_change)


class DriftOfImagesWithoutBoxes(DriftCheck):
    """A fraction of images without boxes that differs from the earlier fraction by more than max_change."""

    max_change: Fraction

    def measure(self, before: DatasetStatistics, now: DatasetStatistics) -> Findings:
        old, new = (one.images_without_boxes.sum() / max(1, one.images.sum()) for one in (before, now))
        measured = f"{format_percent(old)} → {format_percent(new)}"
        return Findings(measured, [measured] if abs(new - old) > self.max_change else [])


def kolmogorov_smirnov_distance(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """The largest difference between the empirical distribution functions of two samples, 0..1.

    It is 1 if only one of the samples is empty.

    >>> kolmogorov_smirnov_distance(np.array([1.0, 2.0, 3.0, 4.0]), np.array([3.0, 4.0, 5.0, 6.0]))
    0.5
    """
    if not len(one) or not len(other):
        return float(len(one) != len(other))
    values = np.concatenate([one, other])
    below_one, below_other = (np.searchsorted(np.sort(part), values, side="right") / len(part) for part in (one, other))
    return float(np.abs(below_one - below_other).max())


def _class_frequencies(statistics: DatasetStatistics) -> dict[str, float]:
    counts: Counter[str] = Counter()
    for name, count in zip(statistics.names, statistics.objects.sum(axis=1).tolist(), strict=True):
        counts[name] += count
    return {name: count / max(1, counts.total()) for name, count in counts.items()}


def _distance(distance: float, limit: float, details: list[str]) -> Findings:
    measured = ": ".join([f"{distance:.3f}", *([", ".join(details)] if details else [])])
    return Findings(measured, [measured] if distance > limit else [])


def _change(before: int, now: int, limit: float) -> Findings:
    fraction = abs(now - before) / before if before else float(now > 0)
    measured = f"{before} → {now}"
    return Findings(measured, [measured] if fraction > limit else [])
