"""The report for programs: the content of validate.json."""

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.formatting import escape_control
from pipeline.validation.run_checks import ValidationResult
from pipeline.validation.statistics import DatasetStatistics

MAX_SIMILAR_PAIRS = 50
"""Pairs of similar images in the reports, the most similar ones; the count of the check includes all."""

RELATIVE_SIDE_EDGES = (0, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1)
"""Bins of relative sides. Each is twice as wide as the one before, because detectors treat sizes by octaves."""

BOXES_PER_IMAGE_STARTS = (0, 1, 2, 3, 5, 9, 17, 33)
"""First numbers of the bins of boxes per image."""


def as_json(validation: ValidationResult) -> dict[str, Any]:
    """The counts, the checks by name, the class and size distributions, and the similar images."""
    statistics = validation.statistics
    return {
        "images": int(statistics.images.sum()),
        "boxes": int(statistics.boxes.sum()),
        "categories": len(statistics.names),
        "images_without_boxes": int(statistics.images_without_boxes.sum()),
        "crowd_boxes": statistics.crowds,
        "quarantined": validation.quarantine.num_rows,
        "quarantined_fraction": validation.quarantined_fraction,
        "max_quarantined_fraction": validation.max_quarantined_fraction,
        "passed_over": validation.passed_over.to_pylist(),
        "failures": validation.failures(),
        "checks": {result.name: result.as_json() for result in validation.results},
        "splits": {
            split: {
                "images": int(statistics.images[index]),
                "boxes": int(statistics.boxes[index]),
                "images_without_boxes": int(statistics.images_without_boxes[index]),
                "boxes_per_image": boxes_per_image_summary(statistics.boxes_per_image[index]),
            }
            for index, split in enumerate(statistics.splits)
        },
        "classes": [
            {"category_id": category_id, "name": name, "boxes": dict(zip(statistics.splits, counts, strict=True))}
            for category_id, name, counts in zip(
                statistics.category_ids, statistics.names, statistics.objects.tolist(), strict=True
            )
        ],
        "relative_sides": relative_side_histogram(statistics),
        "boxes_per_image": boxes_per_image_histogram(statistics),
        "similar_images": similar_pairs(validation),
    }


def passed_over_texts(validation: ValidationResult) -> list[str]:
    """What the reader did not use, one text for each kind."""
    return [
        escape_control(f"{row['kind']}: {row['count']:,} ({row['examples']})")
        for row in validation.passed_over.to_pylist()
    ]


def relative_side_histogram(statistics: DatasetStatistics) -> dict[str, int]:
    """Numbers of objects by relative side, in percent."""
    percents = [f"{100 * edge:g}" for edge in RELATIVE_SIDE_EDGES]
    labels = [f"{low} to {high} %" for low, high in itertools.pairwise(percents)]
    # Boxes that exceed their image are in the last bin.
    return _histogram(labels, np.digitize(statistics.relative_sides, RELATIVE_SIDE_EDGES[1:-1]))


def boxes_per_image_histogram(statistics: DatasetStatistics) -> dict[str, int]:
    """Numbers of images by their number of boxes, crowd regions included."""
    ranges = [(first, following - 1) for first, following in itertools.pairwise(BOXES_PER_IMAGE_STARTS)]
    labels = [str(first) if first == last else f"{first} to {last}" for first, last in ranges]
    labels.append(f"{BOXES_PER_IMAGE_STARTS[-1]} or more")
    counts = np.concatenate([np.empty(0, np.int64), *statistics.boxes_per_image])
    return _histogram(labels, np.digitize(counts, BOXES_PER_IMAGE_STARTS[1:]))


def boxes_per_image_summary(counts: NDArray[np.int64]) -> dict[str, float | None]:
    """The least, mean, median and largest number of boxes of an image, crowd regions included; None without images."""
    if not len(counts):
        return dict.fromkeys(("min", "mean", "median", "max"))
    return {
        "min": float(counts.min()),
        "mean": float(counts.mean()),
        "median": float(np.median(counts)),
        "max": float(counts.max()),
    }


def similar_pairs(validation: ValidationResult) -> list[dict[str, Any]]:
    """The pairs of similar images in different splits, the most similar first, at most MAX_SIMILAR_PAIRS."""
    [result] = [result for result in validation.results if result.name == "image_similar_across_splits"]
    if result.violations is None or not result.violations.num_rows:
        return []
    rows = sorted(result.violations.to_pylist(), key=lambda row: -row["values"]["similarity"])
    return [
        {"file_name": row["file_name"], "image_id": row["image_id"], **row["values"]}
        for row in rows[:MAX_SIMILAR_PAIRS]
    ]


def _histogram(labels: list[str], bins: NDArray[np.intp]) -> dict[str, int]:
    return dict(zip(labels, np.bincount(bins, minlength=len(labels)).tolist(), strict=True))
