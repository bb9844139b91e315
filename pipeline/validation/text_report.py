"""The report for terminals, which `boxline add` prints."""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from pipeline.core.errors import join_items
from pipeline.core.formatting import escape_control, format_table, pluralize
from pipeline.datasets.annotations import Tables
from pipeline.validation.json_report import passed_over_texts
from pipeline.validation.run_checks import ValidationResult
from pipeline.validation.statistics import DatasetStatistics

MAX_CLASSES = 30


def text_report(published: Tables, validation: ValidationResult) -> Iterator[str]:
    """The lines of a report: splits, classes, sizes, and the checks that found something.

    Args:
        published: the tables before the checks.
        validation: the result of the checks.

    """
    statistics = validation.statistics
    found = [
        pluralize(published.images.num_rows, "image", "images"),
        pluralize(published.boxes.num_rows, "box", "boxes"),
        pluralize(published.categories.num_rows, "class", "classes"),
    ]
    yield f"found {join_items(found)}; {pluralize(validation.quarantine.num_rows, 'row', 'rows')} for quarantine"
    yield ""
    heading = ("split", "images", "without boxes", "boxes", "boxes per image")
    yield from format_table([heading, *_split_rows(statistics)], "<>>>>", ruled=True)
    yield ""
    rows = [("class", *statistics.splits), *_class_rows(statistics)]
    yield from format_table(rows, "<" + ">" * len(statistics.splits), ruled=True)
    yield ""
    yield from _sizes(published.images, statistics)
    if passed_over := passed_over_texts(validation):
        yield ""
        yield from (f"passed over {text}" for text in passed_over)
    if findings := [result for result in validation.results if result.count]:
        yield ""
        rows = [(result.name, result.status, f"{result.count:,}", result.examples[0]) for result in findings]
        yield from format_table([("check", "status", "found", "first"), *rows], "<<><", ruled=True)


def _split_rows(statistics: DatasetStatistics) -> Iterator[tuple[str, ...]]:
    columns = (statistics.images, statistics.images_without_boxes, statistics.boxes)
    for number, split in enumerate(statistics.splits):
        per_image = statistics.boxes_per_image[number]
        counts = [f"{column[number]:,}" for column in columns]
        spread = f"{per_image.min()} to {per_image.max()}, mean {per_image.mean():.1f}" if len(per_image) else ""
        yield (split, *counts, spread)


def _class_rows(statistics: DatasetStatistics) -> Iterator[tuple[str, ...]]:
    for name, counts in zip(statistics.names[:MAX_CLASSES], statistics.objects.tolist(), strict=False):
        yield (escape_control(name), *(f"{count:,}" for count in counts))
    if len(statistics.names) > MAX_CLASSES:
        yield (f"and {len(statistics.names) - MAX_CLASSES} more", *[""] * len(statistics.splits))


def _sizes(images: pa.Table, statistics: DatasetStatistics) -> Iterator[str]:
    sizes = Counter(zip(images["width"].to_pylist(), images["height"].to_pylist(), strict=True))
    (width, height), count = sizes.most_common(1)[0]
    others = "" if len(sizes) == 1 else f", the most frequent of {len(sizes):,} sizes ({count:,} images)"
    yield f"image size  {width} x {height} pixels{others}"
    if len(statistics.shorter_sides):
        low, middle, high = np.quantile(statistics.shorter_sides, (0, 0.5, 1))
        yield f"box size    shorter side {low:.0f} to {high:.0f} pixels, median {middle:.0f}"
