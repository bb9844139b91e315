"""The images of a split that are scored, with everything that relates model inputs and original images."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.datasets.annotations import Tables
from pipeline.geometry.labeled_boxes import LabeledBoxes
from pipeline.geometry.resize import ResizeTransform
from pipeline.packing.index import read_transforms
from pipeline.packing.shards import Shards
from pipeline.systems.common.labels import Labels
from pipeline.targets.ground_truth import ground_truth_by_image


@dataclass(frozen=True)
class ScoredSplit:
    """The scored images of a split.

    Attributes:
        images: the packed images of the split.
        image_ids: the scored ones, int64 [N], in the order of their targets.
        ground_truth: their tables, in pixels of the original images.
        transforms: the resize transform of each image, by image id.
        labels: the labels of the categories.

    """

    images: Shards
    image_ids: NDArray[np.int64]
    ground_truth: Tables
    transforms: Mapping[int, ResizeTransform]
    labels: Labels

    @classmethod
    def read(cls, split: str, tables: Tables, pack: Path, targets: Path, labels: Labels) -> "ScoredSplit":
        """Open a split: the images in the folder `pack` that have targets in the folder `targets`."""
        image_ids = Shards(targets, split).image_ids
        ground_truth = tables.split(split).of_images(image_ids)
        return cls(Shards(pack, split), image_ids, ground_truth, read_transforms(pack, split), labels)

    def model_inputs(self, image_ids: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The pixels of some images, uint8 [B, size, size, channels]."""
        return self.images.take("image", self.images.rows_of(image_ids))

    def objects(self, image_ids: NDArray[np.int64]) -> list[LabeledBoxes]:
        """The ground truth of some images without crowd regions, relative to the model input."""
        by_image = ground_truth_by_image(self.ground_truth.boxes, image_ids, self.transforms, self.labels)
        return [boxes.objects for boxes in by_image]
