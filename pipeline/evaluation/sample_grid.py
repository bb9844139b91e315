"""Packed training images with their boxes: a plot that shows whether boxes and pixels fit together."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.datasets.annotations import Tables
from pipeline.packing.index import read_transforms
from pipeline.packing.shards import Shards, evenly_spaced
from pipeline.plots.image_grid import save_samples
from pipeline.systems.common.labels import Labels
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


def select_samples(image_ids: NDArray[np.int64], box_image_ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Nine evenly spaced images among those with boxes, or among all if none has a box.

    >>> select_samples(np.arange(1, 21), np.arange(0, 100, 2)).tolist()
    [2, 4, 6, 8, 10, 14, 16, 18, 20]
    """
    candidates = image_ids[np.isin(image_ids, box_image_ids)]
    return evenly_spaced(candidates if len(candidates) else image_ids, NUM_SAMPLES)
