"""The images of a split that are scored, with everything that relates model inputs and original images."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.archives.archive_folder import ArchiveFolder
from pipeline.datasets.annotations import Tables, boxes_xywh_of, image_scale_of, rows_by_image, without_crowds
from pipeline.geometry.boxes import Boxes
from pipeline.geometry.labeled_boxes import LabeledBoxes
from pipeline.geometry.resize import ResizeTransform
from pipeline.packing.index import read_transforms
from pipeline.packing.model_input import decode_image
from pipeline.packing.shards import Shards
from pipeline.plots.image_grid import PredictedImages, shrink
from pipeline.systems.common.labels import Labels
from pipeline.targets.ground_truth import ground_truth_by_image

MAX_DRAWN_SIDE = 640
"""Longest side in pixels of an image in a plot of many, as most images of COCO have it."""


@dataclass(frozen=True)
class ScoredSplit:
    """The scored images of a split.

    Attributes:
        images: the packed images of the split.
        image_ids: the scored ones, int64 [N], in the order of their targets.
        ground_truth: their tables, in pixels of the original images.
        transforms: the resize transform of each image, by image id.
        labels: the labels of the categories.
        archives: the archives with the original images.

    """

    images: Shards
    image_ids: NDArray[np.int64]
    ground_truth: Tables
    transforms: Mapping[int, ResizeTransform]
    labels: Labels
    archives: ArchiveFolder

    @classmethod
    def read(
        cls, split: str, tables: Tables, download: Path, pack: Path, targets: Path, labels: Labels
    ) -> "ScoredSplit":
        """Open a split: the images in the folder `pack` that have targets in the folder `targets`.

        The archives in the folder `download` are read when `pixels` is called.
        """
        image_ids = Shards(targets, split).image_ids
        ground_truth = tables.split(split).of_images(image_ids)
        transforms = read_transforms(pack, split)
        return cls(Shards(pack, split), image_ids, ground_truth, transforms, labels, ArchiveFolder(download))

    def model_inputs(self, image_ids: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The pixels of some images, uint8 [B, size, size, channels]."""
        return self.images.take("image", self.images.rows_of(image_ids))

    def predicted_images(
        self, image_ids: NDArray[np.int64], detections: pa.Table, score_threshold: float
    ) -> PredictedImages:
        """Some images at their own resolution, at most MAX_DRAWN_SIDE, with ground truth and detections.

        Args:
            image_ids: int64 [N].
            detections: a table with schema.DETECTIONS; those with a lower score than the threshold are left out.
            score_threshold: 0..1.

        Returns:
            The images in the order of `image_ids`, without crowd regions.

        Raises:
            BoxlineError: if an archive is missing or an image does not decode.

        """
        rows = self.ground_truth.images.take(
            pc.index_in(pa.array(image_ids), value_set=self.ground_truth.images["image_id"].combine_chunks())
        )
        scales = image_scale_of(rows, rows)
        above = detections.filter(pc.greater_equal(detections["score"], score_threshold))
        return PredictedImages(
            [self._pixels(row) for row in rows.to_pylist()],
            rows["file_name"].to_pylist(),
            self._boxes_of(without_crowds(self.ground_truth.boxes), image_ids, scales),
            self._boxes_of(above, image_ids, scales),
            self.labels.names,
        )

    def _pixels(self, row: Mapping[str, Any]) -> NDArray[np.uint8]:
        """The image of a row of schema.IMAGES."""
        member = self.archives[row["archive"]][row["member"]]
        return shrink(decode_image(member, row["width"], row["height"], "RGB"), MAX_DRAWN_SIDE)

    def _boxes_of(self, table: pa.Table, image_ids: NDArray[np.int64], scales: Boxes) -> list[LabeledBoxes]:
        """The boxes of each image in a table of boxes or detections, relative to the image."""
        boxes_xywh = boxes_xywh_of(table)
        labels = self.labels.from_category_ids(table["category_id"].to_numpy())
        scores = table["score"].to_numpy() if "score" in table.schema.names else None
        return [
            LabeledBoxes(boxes_xywh[rows] / scale, labels[rows], None if scores is None else scores[rows])
            for rows, scale in zip(rows_by_image(table, image_ids.tolist()), scales, strict=True)
        ]

    def objects(self, image_ids: NDArray[np.int64]) -> list[LabeledBoxes]:
        """The ground truth of some images without crowd regions, relative to the model input."""
        by_image = ground_truth_by_image(self.ground_truth.boxes, image_ids, self.transforms, self.labels)
        return [boxes.objects for boxes in by_image]
