"""Packed training images with their boxes, and with their targets: plots that show whether these fit the pixels."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.datasets.annotations import Tables
from pipeline.evaluation.oracle import oracle_boxes
from pipeline.geometry.labeled_boxes import LabeledBoxes
from pipeline.packing.index import read_transforms
from pipeline.packing.shards import Shards, evenly_spaced
from pipeline.plots.image_grid import SAMPLE_COLUMNS, draw_labeled_boxes, save, save_samples, show_image, tiles
from pipeline.systems.common.interfaces import TargetCodec, TargetDrawer
from pipeline.systems.common.labels import Labels
from pipeline.systems.common.target_annotations import read_targets
from pipeline.targets.ground_truth import ground_truth_by_image

NUM_SAMPLES = 9
SPLIT = "train"


def write_samples(path: Path, pack: Path, tables: Tables) -> None:
    """Plot nine training images of `pack` as model inputs, with their boxes where the targets have them.

    Colors count the categories from 0 in the order of their ids, independently of the labels of a system.

    Raises:
        BoxlineError: if `pack` has no training image.

    """
    images = Shards(pack, SPLIT)
    boxes = tables.split(SPLIT).boxes
    image_ids = select_samples(images.image_ids, boxes["image_id"].to_numpy())
    labels = Labels(tables.categories["category_id"].to_numpy(), tables.categories["name"].to_pylist())
    ground_truth = list(ground_truth_by_image(boxes, image_ids, read_transforms(pack, SPLIT), labels))
    model_inputs = images.take("image", images.rows_of(image_ids))
    save_samples(path, model_inputs, ground_truth, labels.names)


def write_target_plot(
    path: Path,
    pack: Path,
    targets: Shards,
    codec: TargetCodec[Any],
    labels: Labels,
    draw_targets: TargetDrawer | None,
) -> None:
    """Plot what the network is given for nine training examples: the model input with the targets over it.

    Boxes are decoded from the targets, so a box that the encoding loses is missing.

    Args:
        path: the file to write.
        pack: folder of the packed images.
        targets: the targets of the training split, one example or more.
        codec: the codec of the targets.
        labels: the labels of the targets.
        draw_targets: draws what they hold besides boxes.

    """
    rows = evenly_spaced(np.arange(len(targets)), NUM_SAMPLES)
    images = Shards(pack, SPLIT)
    model_inputs = images.take("image", images.rows_of(targets.image_ids[rows]))
    values = read_targets(targets, rows)
    figure, axes = tiles(len(rows), columns=min(SAMPLE_COLUMNS, len(rows)))
    for index, boxes in enumerate(oracle_boxes(targets, rows, codec, labels)):
        show_image(axes[index], model_inputs[index])
        if draw_targets is not None:
            draw_targets(axes[index], {name: column[index] for name, column in values.items()}, labels.names)
        draw_labeled_boxes(axes[index], LabeledBoxes(boxes.boxes_rel_xywh, boxes.labels), labels.names)
    save(figure, path)


def select_samples(image_ids: NDArray[np.int64], box_image_ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Nine evenly spaced images among those with boxes, or among all if none has a box.

    >>> select_samples(np.arange(1, 21), np.arange(0, 100, 2)).tolist()
    [2, 4, 6, 8, 10, 14, 16, 18, 20]
    """
    candidates = image_ids[np.isin(image_ids, box_image_ids)]
    return evenly_spaced(candidates if len(candidates) else image_ids, NUM_SAMPLES)
