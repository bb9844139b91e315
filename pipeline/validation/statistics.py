"""Statistics of a dataset, for the checks of whole datasets and for the reports."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.core.formatting import pluralize
from pipeline.datasets.annotations import Tables, image_rows_of
from pipeline.validation.joins import split_names


@dataclass(frozen=True)
class DatasetStatistics:
    """Counts and sizes of S splits, training first; C classes in the order of class_index; N objects.

    A crowd region is a box, but not an object.

    Attributes:
        splits: names of the splits, [S].
        category_ids: ids of the classes, [C].
        names: names of the classes, [C].
        images: number of images of each split, [S].
        images_without_boxes: the same of images without boxes, [S].
        boxes: number of boxes of each split, [S].
        crowds: number of boxes that are crowd regions.
        objects: number of objects of each class and split, [C, S].
        shorter_sides: shorter side of each object in pixels, [N].
        relative_sides: square root of the fraction of its image that each object covers, [N]; the relative side of a
            square of that area.
        boxes_per_image: number of boxes of each image, by split, [images] each.

    """

    splits: list[str]
    category_ids: list[int]
    names: list[str]
    images: NDArray[np.int64]
    images_without_boxes: NDArray[np.int64]
    boxes: NDArray[np.int64]
    crowds: int
    objects: NDArray[np.int64]
    shorter_sides: NDArray[np.float64]
    relative_sides: NDArray[np.float64]
    boxes_per_image: list[NDArray[np.int64]]

    def format_counts(self) -> str:
        """The numbers of images, boxes and categories as text."""
        counts = [
            pluralize(int(self.images.sum()), "image", "images"),
            pluralize(int(self.boxes.sum()), "box", "boxes"),
            pluralize(len(self.names), "category", "categories"),
        ]
        return ", ".join(counts)

    @classmethod
    def of(cls, tables: Tables, published_images: pa.Table | None = None) -> "DatasetStatistics":
        """Compute the statistics of tables that passed the checks of rows.

        Boxes without a valid size, which those checks may permit, are counted but have no sides.

        Args:
            tables: the rows that passed.
            published_images: all images, so that a split without any accepted image is counted as empty.

        """
        splits = split_names(tables.images if published_images is None else published_images)
        split_of_image = _index(tables.images["split"], pa.array(splits, pa.string()))
        image_rows = image_rows_of(tables.boxes, tables.images)
        classes = _index(tables.boxes["category_id"], tables.categories["category_id"].combine_chunks())
        boxes_per_image = np.bincount(image_rows, minlength=len(split_of_image))
        num_classes = tables.categories.num_rows
        split_of_box = split_of_image[image_rows]
        crowd = tables.boxes["is_crowd"].to_numpy()
        class_and_split = (classes * len(splits) + split_of_box)[~crowd]
        size = np.stack([tables.boxes[name].to_numpy() for name in ("width", "height")])
        image_size = np.stack([tables.images[name].to_numpy()[image_rows] for name in ("width", "height")])
        sized = ~crowd & (size > 0).all(axis=0) & np.isfinite(size).all(axis=0) & (image_size > 0).all(axis=0)
        return cls(
            splits=splits,
            category_ids=tables.categories["category_id"].to_pylist(),
            names=tables.categories["name"].to_pylist(),
            images=_counts(split_of_image, splits),
            images_without_boxes=_counts(split_of_image[boxes_per_image == 0], splits),
            boxes=_counts(split_of_box, splits),
            crowds=int(crowd.sum()),
            objects=np.bincount(class_and_split, minlength=num_classes * len(splits)).reshape(num_classes, len(splits)),
            shorter_sides=size[:, sized].min(axis=0),
            relative_sides=np.sqrt(size[:, sized] / image_size[:, sized]).prod(axis=0),
            boxes_per_image=[boxes_per_image[split_of_image == number] for number in range(len(splits))],
        )


def _index(values: pa.ChunkedArray, of: pa.Array) -> NDArray[np.int64]:
    return np.asarray(pc.index_in(values, value_set=of), np.int64)


def _counts(split_numbers: NDArray[np.int64], splits: list[str]) -> NDArray[np.int64]:
    return np.bincount(split_numbers, minlength=len(splits))
