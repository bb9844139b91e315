"""A look at packed images: do the boxes fit the pixels?"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.datasets.annotations import Tables, boxes_by_image
from pipeline.geometry.labeled_boxes import Marks
from pipeline.packing.index import read_placements
from pipeline.packing.shards import Shards, spread
from pipeline.plots.samples import save_samples

NUM_SAMPLES = 9
SPLIT = "train"


def write_samples(path: Path, pack: Path, tables: Tables) -> None:
    """Nine training images of `pack` as the network sees them, with their boxes placed as the targets place them.

    Colours count the classes from 0. Raises BoxlineError where `pack` has no training image.
    """
    images, placements = Shards(pack, SPLIT), read_placements(pack, SPLIT)
    image_ids = with_boxes(images.image_ids, tables.boxes["image_id"].to_numpy())
    category_ids = tables.categories["category_id"].to_numpy()  # in order: the row is the class index
    truth = [
        Marks(placements[int(image_id)].boxes_to_square(boxes_xywh), np.searchsorted(category_ids, of_boxes))
        for image_id, (boxes_xywh, of_boxes, _) in zip(image_ids, boxes_by_image(tables.boxes, image_ids), strict=True)
    ]
    squares = images.take("image", images.rows_of(image_ids))
    save_samples(path, squares, truth, tables.categories["name"].to_pylist())


def with_boxes(image_ids: NDArray[np.int64], box_image_ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Nine of the images, spread: those with boxes, or any where none has one.

    >>> with_boxes(np.arange(1, 21), np.arange(0, 100, 2)).tolist()
    [2, 4, 6, 8, 10, 14, 16, 18, 20]
    """
    candidates = image_ids[np.isin(image_ids, box_image_ids)]
    return spread(candidates if len(candidates) else image_ids, NUM_SAMPLES)
