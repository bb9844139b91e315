"""What the checks found, for machines: the content of validate.json."""

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.validation.run import Validation
from pipeline.validation.statistics import DatasetStatistics

SIMILAR_PAIRS = 50
"""Most similar pairs of images that reports show; the count has them all."""

SIDE_EDGES = (0, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1)
"""Of the histogram of relative sides: each bar is for twice the side, as detectors see sizes."""

BOXES_PER_IMAGE = (0, 1, 2, 3, 5, 9, 17, 33)
"""First numbers of the bars of boxes per image."""


def as_json(validation: Validation) -> dict[str, Any]:
    """Counts, checks by name, classes, sizes and similar images."""
    overview = validation.overview
    return {
        "images": int(overview.images.sum()),
        "boxes": int(overview.boxes.sum()),
        "categories": len(overview.names),
        "images_without_boxes": int(overview.images_without_boxes.sum()),
        "crowd_boxes": overview.crowds,
        "quarantined": validation.quarantine.num_rows,
        "quarantined_fraction": validation.quarantined_fraction,
        "max_quarantined_fraction": validation.max_quarantined_fraction,
        "failures": validation.failures(),
        "checks": {outcome.name: outcome.as_json() for outcome in validation.outcomes},
        "splits": {
            split: {
                "images": int(overview.images[number]),
                "boxes": int(overview.boxes[number]),
                "images_without_boxes": int(overview.images_without_boxes[number]),
            }
            for number, split in enumerate(overview.splits)
        },
        "classes": [
            {"category_id": category_id, "name": name, "boxes": dict(zip(overview.splits, counts, strict=True))}
            for category_id, name, counts in zip(
                overview.category_ids, overview.names, overview.objects.tolist(), strict=True
            )
        ],
        "relative_sides": side_histogram(overview),
        "boxes_per_image": boxes_per_image_histogram(overview),
        "similar_images": similar_pairs(validation),
    }


def side_histogram(overview: DatasetStatistics) -> dict[str, int]:
    """Objects by the side of a square as large, in percent of the image's."""
    percents = [f"{100 * edge:g}" for edge in SIDE_EDGES]
    labels = [f"{low} to {high} %" for low, high in itertools.pairwise(percents)]
    # What reaches past its image is as large as it at most.
    return _bars(labels, np.digitize(overview.relative_sides, SIDE_EDGES[1:-1]))


def boxes_per_image_histogram(overview: DatasetStatistics) -> dict[str, int]:
    """Images by their number of boxes, crowds among them."""
    ranges = [(first, after - 1) for first, after in itertools.pairwise(BOXES_PER_IMAGE)]
    labels = [str(first) if first == last else f"{first} to {last}" for first, last in ranges]
    labels.append(f"{BOXES_PER_IMAGE[-1]} or more")
    return _bars(labels, np.digitize(overview.boxes_per_image, BOXES_PER_IMAGE[1:]))


def similar_pairs(validation: Validation) -> list[dict[str, Any]]:
    """Images of different splits that look alike, the most similar first: place and values of the check's finds."""
    [outcome] = [one for one in validation.outcomes if one.name == "image_similar_across_splits"]
    if outcome.found is None or not outcome.found.num_rows:
        return []
    found = sorted(outcome.found.to_pylist(), key=lambda row: -row["values"]["similarity"])
    return [
        {"file_name": row["file_name"], "image_id": row["image_id"], **row["values"]} for row in found[:SIMILAR_PAIRS]
    ]


def _bars(labels: list[str], bins: NDArray[np.intp]) -> dict[str, int]:
    return dict(zip(labels, np.bincount(bins, minlength=len(labels)).tolist(), strict=True))
