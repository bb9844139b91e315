"""Targets, audited before any training: what the encoding loses, and the best score that it allows."""

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.core import schema
from pipeline.datasets.annotations import Tables
from pipeline.evaluation.detections import to_original
from pipeline.evaluation.scores import Task
from pipeline.geometry.resize import ResizeTransform
from pipeline.packing.shards import Shards
from pipeline.systems.interfaces import Arrays, Codec
from pipeline.systems.labels import Labels
from pipeline.systems.target_annotations import read_targets

BATCH_IMAGES = 256


def count_unencodable_boxes(targets: Shards, num_boxes: int, codec: Codec, num_labels: int) -> int:
    """How many of the `num_boxes` that were encoded do not come back when the targets are decoded."""
    found = sum(len(codec.decode(codec.as_outputs(batch, num_labels)).labels) for _, batch in _batches(targets))
    return num_boxes - found


def oracle_score(
    targets: Shards, truth: Tables, transforms: Mapping[int, ResizeTransform], codec: Codec, labels: Labels, task: Task
) -> dict[str, float]:
    """The task's scores of the targets themselves, decoded as if a perfect model had answered them."""
    tables = [
        to_original(
            codec.decode(codec.as_outputs(batch, len(labels.names))), image_ids, transforms, labels.category_ids
        )
        for image_ids, batch in _batches(targets)
    ]
    return task.score(truth, pa.concat_tables([schema.DETECTIONS.empty_table(), *tables]))


def _batches(targets: Shards) -> Iterator[tuple[NDArray[np.int64], Arrays]]:
    for start in range(0, len(targets), BATCH_IMAGES):
        rows = np.arange(start, min(start + BATCH_IMAGES, len(targets)))
        yield targets.image_ids[rows], read_targets(targets, rows)
