"""A look at packed images: do the boxes fit the pixels?"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.datasets.annotations import Tables, boxes_by_image
from pipeline.geometry.labeled_boxes import LabeledBoxes
from pipeline.packing.index import read_transforms
from pipeline.packing.shards import Shards, evenly_spaced
from pipeline.plots.samples import save_samples

NUM_SAMPLES = 9
SPLIT = "train"


def write_samples(path: Path, pack: Path, tables: Tables) -> None:
    """Nine training images of `pack` as the network sees them, with their boxes placed as the targets place them.

    Colours count the classes from 0. Raises BoxlineError where `pack` has no training image.
    """
    images, transforms = Shards(pack, SPLIT), read_transforms(pack, SPLIT)
    image_ids = with_boxes(images.image_ids, tables.boxes["image_id"].to_numpy())
    category_ids = tables.categories["category_id"].to_numpy()  # in order: the row is the class index
    truth = [
        LabeledBoxes(transforms[int(image_id)].apply_boxes(boxes_xywh), np.searchsorted(category_ids, of_boxes))
        for image_id, (boxes_xywh, of_boxes, _) in zip(image_ids, boxes_by_image(tables.boxes, image_ids), strict=True)
    ]
    model_inputs = images.take("image", images.rows_of(image_ids))
    save_samples(path, model_inputs, truth, tables.categories["name"].to_pylist())


def with_boxes(image_ids: NDArray[np.int64], box_image_ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Nine of the images, spread: those with boxes, or any where none has one.

    >>> with_boxes(np.arange(1, 21), np.arange(0, 100, 2)).tolist()
    [2, 4, 6, 8, 10, 14, 16, 18, 20]
    """
    candidates = image_ids[np.isin(image_ids, box_image_ids)]
    return evenly_spaced(candidates if len(candidates) else image_ids, NUM_SAMPLES)
