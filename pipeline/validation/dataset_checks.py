"""The checks of whole datasets: category names, class balance, images without boxes, box sizes."""

from collections import defaultdict

import numpy as np

from pipeline.core.config import Fraction, NonNegativeFloat, PositiveInt
from pipeline.core.formatting import format_percent, pluralize
from pipeline.validation.base import DatasetCheck, Findings
from pipeline.validation.statistics import DatasetStatistics


class CategoryNameEmpty(DatasetCheck):
    """A category whose name is empty or consists of spaces."""

    def measure(self, statistics: DatasetStatistics) -> Findings:
        unnamed = [
            f"category {category_id} has no name"
            for category_id, name in zip(statistics.category_ids, statistics.names, strict=True)
            if not name.strip()
        ]
        return Findings(_categories(statistics), unnamed)


class CategoryNameDuplicated(DatasetCheck):
    """A name that several categories share, ignoring case and surrounding spaces."""

    def measure(self, statistics: DatasetStatistics) -> Findings:
        ids_by_name = defaultdict(list)
        for category_id, name in zip(statistics.category_ids, statistics.names, strict=True):
            ids_by_name[name.strip().casefold()].append(str(category_id))
        shared = [
            f"{name!r} is the name of the categories {', '.join(ids)}"
            for name, ids in ids_by_name.items()
            if name and len(ids) > 1
        ]
        return Findings(_categories(statistics), shared)


class ClassWithoutBoxes(DatasetCheck):
    """A class without objects in one of the splits; it cannot be learned, or not be evaluated."""

    def measure(self, statistics: DatasetStatistics) -> Findings:
        missing = [
            f"{statistics.names[row]} has no box in {statistics.splits[column]}"
            for row, column in np.argwhere(statistics.objects == 0)
        ]
        return Findings(f"{_categories(statistics)} in {', '.join(statistics.splits)}", missing)


class ClassRare(DatasetCheck):
    """A class with fewer than min_boxes objects in the training split.

    A class without any is the subject of class_without_boxes.
    """

    min_boxes: PositiveInt

    def measure(self, statistics: DatasetStatistics) -> Findings:
        if not statistics.objects.size:
            return Findings("no classes", [])
        split, counts = statistics.splits[0], statistics.objects[:, 0]
        by_count = [(int(counts[row]), statistics.names[row]) for row in np.argsort(counts, kind="stable")]
        rare = [
            f"{name} has {pluralize(count, 'box', 'boxes')} in {split}"
            for count, name in by_count
            if 0 < count < self.min_boxes
        ]
        return Findings(f"{by_count[0][1]} has {pluralize(by_count[0][0], 'box', 'boxes')} in {split}", rare)


class ClassDominant(DatasetCheck):
    """A class with more than max_fraction of all objects, if there are several classes."""

    max_fraction: Fraction

    def measure(self, statistics: DatasetStatistics) -> Findings:
        counts = statistics.objects.sum(axis=1)
        if not counts.any():
            return Findings("no boxes", [])
        largest = int(counts.argmax())
        fraction = counts[largest] / counts.sum()
        measured = f"{statistics.names[largest]} is {format_percent(fraction)} of the boxes"
        return Findings(measured, [measured] if len(counts) > 1 and fraction > self.max_fraction else [])


class TooManyImagesWithoutBoxes(DatasetCheck):
    """A split in which more than max_fraction of the images have no boxes."""

    max_fraction: Fraction

    def measure(self, statistics: DatasetStatistics) -> Findings:
        fractions = statistics.images_without_boxes / np.maximum(1, statistics.images)
        by_split = dict(zip(statistics.splits, fractions, strict=True))
        texts = {split: f"{format_percent(fraction)} of {split}" for split, fraction in by_split.items()}
        violations = [texts[split] for split, fraction in by_split.items() if fraction > self.max_fraction]
        return Findings(", ".join(texts.values()), violations)


class TooManySmallBoxes(DatasetCheck):
    """More than max_fraction of the objects are small.

    An object is small if a side is below below_pixels, or its area below below_image_fraction of its image, which
    every system scales down.
    """

    below_pixels: NonNegativeFloat
    below_image_fraction: Fraction
    max_fraction: Fraction

    def measure(self, statistics: DatasetStatistics) -> Findings:
        small = statistics.shorter_sides < self.below_pixels
        small |= statistics.relative_sides < np.sqrt(self.below_image_fraction)
        fraction = small.sum() / max(1, len(small))
        measured = f"{format_percent(fraction)} of the boxes"
        return Findings(measured, [measured] if fraction > self.max_fraction else [])


def _categories(statistics: DatasetStatistics) -> str:
    return pluralize(len(statistics.names), "category", "categories")
