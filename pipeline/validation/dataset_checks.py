"""The checks of whole datasets: names, balance of the classes, images without boxes, sizes of boxes."""

from collections import defaultdict

import numpy as np

from pipeline.core.config import Fraction, NonNegativeFloat, PositiveInt
from pipeline.core.formatting import format_percent, pluralize
from pipeline.validation.base import DatasetCheck, Findings
from pipeline.validation.statistics import DatasetStatistics


class CategoryNameEmpty(DatasetCheck):
    """A category without a name, or with one of spaces only."""

    def findings(self, overview: DatasetStatistics) -> Findings:
        """Categories by id."""
        nameless = [
            f"category {category_id} has no name"
            for category_id, name in zip(overview.category_ids, overview.names, strict=True)
            if not name.strip()
        ]
        return Findings(_categories(overview), nameless)


class CategoryNameDuplicated(DatasetCheck):
    """One name of several categories; capitals, and spaces around it, make no other name of it."""

    def findings(self, overview: DatasetStatistics) -> Findings:
        """Names, each with its categories."""
        ids_by_name = defaultdict(list)
        for category_id, name in zip(overview.category_ids, overview.names, strict=True):
            ids_by_name[name.strip().casefold()].append(str(category_id))
        shared = [
            f"{name!r} is the name of the categories {', '.join(ids)}"
            for name, ids in ids_by_name.items()
            if name and len(ids) > 1
        ]
        return Findings(_categories(overview), shared)


class ClassWithoutBoxes(DatasetCheck):
    """A class without an object in one of the splits: it cannot be learned, or not be scored."""

    def findings(self, overview: DatasetStatistics) -> Findings:
        """Classes, each with the split."""
        missing = [
            f"{overview.names[row]} has no box in {overview.splits[column]}"
            for row, column in np.argwhere(overview.objects == 0)
        ]
        return Findings(f"{_categories(overview)} in {', '.join(overview.splits)}", missing)


class ClassRare(DatasetCheck):
    """A class with fewer than min_boxes objects in the first split, the training; none at all is not counted again."""

    min_boxes: PositiveInt

    def findings(self, overview: DatasetStatistics) -> Findings:
        """Classes, each with its objects, the rarest first."""
        if not overview.objects.size:
            return Findings("no classes", [])
        split, counts = overview.splits[0], overview.objects[:, 0]
        by_count = [(int(counts[row]), overview.names[row]) for row in np.argsort(counts, kind="stable")]
        rare = [
            f"{name} has {pluralize(count, 'box', 'boxes')} in {split}"
            for count, name in by_count
            if 0 < count < self.min_boxes
        ]
        return Findings(f"{by_count[0][1]} has {pluralize(by_count[0][0], 'box', 'boxes')} in {split}", rare)


class ClassDominant(DatasetCheck):
    """A class that is more than max_fraction of all objects, where there are several classes."""

    max_fraction: Fraction

    def findings(self, overview: DatasetStatistics) -> Findings:
        """The largest class."""
        counts = overview.objects.sum(axis=1)
        if not counts.any():
            return Findings("no boxes", [])
        largest = int(counts.argmax())
        share = counts[largest] / counts.sum()
        measured = f"{overview.names[largest]} is {format_percent(share)} of the boxes"
        return Findings(measured, [measured] if len(counts) > 1 and share > self.max_fraction else [])


class TooManyImagesWithoutBoxes(DatasetCheck):
    """A split of whose images more than max_fraction have no box."""

    max_fraction: Fraction

    def findings(self, overview: DatasetStatistics) -> Findings:
        """Splits, each with its share."""
        shares = overview.images_without_boxes / np.maximum(1, overview.images)
        told = [f"{format_percent(share)} of {split}" for split, share in zip(overview.splits, shares, strict=True)]
        broken = [text for text, share in zip(told, shares, strict=True) if share > self.max_fraction]
        return Findings(", ".join(told), broken)


class TooManySmallBoxes(DatasetCheck):
    """More than max_fraction of the objects are small.

    Small is a side below below_pixels, or an area below below_image_fraction of the image, which every system scales down.
    """

    below_pixels: NonNegativeFloat
    below_image_fraction: Fraction
    max_fraction: Fraction

    def findings(self, overview: DatasetStatistics) -> Findings:
        """The share of small ones."""
        small = overview.shorter_sides < self.below_pixels
        small |= overview.relative_sides < np.sqrt(self.below_image_fraction)
        share = small.sum() / max(1, len(small))
        measured = f"{format_percent(share)} of the boxes"
        return Findings(measured, [measured] if share > self.max_fraction else [])


def _categories(overview: DatasetStatistics) -> str:
    return pluralize(len(overview.names), "category", "categories")
