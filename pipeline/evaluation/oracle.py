"""Targets decoded before any training: the boxes that the encoding loses, and the best score that it allows."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.core import schema
from pipeline.datasets.annotations import Tables
from pipeline.evaluation.task import Task
from pipeline.geometry.labeled_boxes import LabeledBoxes
from pipeline.geometry.resize import ResizeTransform
from pipeline.inference.detections import detections_in_image_coordinates
from pipeline.packing.shards import Shards
from pipeline.systems.common.interfaces import TargetCodec
from pipeline.systems.common.labels import Labels
from pipeline.systems.common.target_annotations import read_targets

BATCH_IMAGES = 256


def count_unencodable_boxes(targets: Shards, num_boxes: int, codec: TargetCodec[Any], labels: Labels) -> int:
    """How many of the `num_boxes` encoded boxes are not decoded from the targets."""
    decoded = sum(len(boxes) for _, batch in _oracle_predictions(targets, codec, labels) for boxes in batch)
    return num_boxes - decoded


def oracle_scores(
    targets: Shards,
    tables: Tables,
    transforms: Mapping[int, ResizeTransform],
    codec: TargetCodec[Any],
    labels: Labels,
    task: Task,
) -> dict[str, float | None]:
    """The scores of a model that predicts its targets perfectly: an upper bound for every model; see `Task.score`.

    Args:
        targets: the encoded images of a split.
        tables: the tables of that split.
        transforms: the resize transforms of the images, by image id.
        codec: the codec of the targets.
        labels: the labels of the targets.
        task: the task of the system.

    """
    detections = [
        detections_in_image_coordinates(batch, image_ids, transforms, labels)
        for image_ids, batch in _oracle_predictions(targets, codec, labels)
    ]
    ground_truth = tables.of_images(targets.image_ids)
    return task.score(ground_truth, pa.concat_tables([schema.DETECTIONS.empty_table(), *detections]))


def oracle_boxes(
    targets: Shards, rows: NDArray[np.int64], codec: TargetCodec[Any], labels: Labels
) -> list[LabeledBoxes]:
    """The boxes decoded from those rows of the targets, with scores, without background."""
    outputs = codec.oracle_outputs(read_targets(targets, rows), len(labels.names))
    return [labels.drop_background(boxes) for boxes in codec.decode(outputs)]


def _oracle_predictions(
    targets: Shards, codec: TargetCodec[Any], labels: Labels
) -> Iterator[tuple[NDArray[np.int64], list[LabeledBoxes]]]:
    """The image ids of each batch, and the boxes that an oracle predicts."""
    for start in range(0, len(targets), BATCH_IMAGES):
        rows = np.arange(start, min(start + BATCH_IMAGES, len(targets)))
        yield targets.image_ids[rows], oracle_boxes(targets, rows, codec, labels)
