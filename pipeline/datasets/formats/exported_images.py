"""Images and boxes of tables, one image after the other, for formats that have a file per image."""

from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.archives.archive_folder import ArchiveFolder
from pipeline.archives.zip_archive import MAX_IMAGE_BYTES
from pipeline.core.errors import BoxlineError
from pipeline.core.file_names import IMAGE_SUFFIXES, UniqueStems, harmless_stem, max_name_bytes
from pipeline.core.progress import ProgressBar
from pipeline.datasets.annotations import Tables, boxes_xywh_of, image_rows_of, rows_by_image, without_crowds
from pipeline.geometry.boxes import Boxes

SUFFIX_BYTES = 8
"""Room for the longest suffix of an image or annotation file."""

BATCH_ROWS = 1 << 14
"""Images that are Python objects at the same time."""


class ExportedImage(NamedTuple):
    """An image with its boxes.

    Attributes:
        split: train, val or test.
        stem: of its files; unique in the export, and harmless as a name.
        suffix: of the image file, with its dot.
        width: of the image in pixels.
        height: of the image in pixels.
        boxes_xywh: pixels, [N, 4].
        class_indices: int64 [N].
        archive: path of the archive with the image, below the download folder.
        member: name of the image in it.

    """

    split: str
    stem: str
    suffix: str
    width: int
    height: int
    boxes_xywh: Boxes
    class_indices: NDArray[np.int64]
    archive: str
    member: str

    @property
    def file_name(self) -> str:
        """Name of the image file."""
        return f"{self.stem}{self.suffix}"

    def write_file(self, path: Path, archives: ArchiveFolder) -> None:
        """Write the image file as it is in its archive.

        Raises:
            BoxlineError: if the archive or its member is missing or unreadable.

        """
        path.write_bytes(archives[self.archive][self.member].read(MAX_IMAGE_BYTES))


def exported_images(tables: Tables, splits: Collection[str], folder: Path) -> Iterator[ExportedImage]:
    """The images of the splits with their boxes, in the order of the tables. Crowd regions are left out.

    Args:
        tables: the tables, valid ones: see `require_complete`.
        splits: some of train, val and test.
        folder: where their files will be, which limits the length of their names.

    """
    stems = UniqueStems(max_name_bytes(folder) - SUFFIX_BYTES)
    total = sum(pc.sum(pc.equal(tables.images["split"], split)).as_py() or 0 for split in splits)
    with ProgressBar("exporting", total, "image") as progress:
        for split in splits:
            chosen = tables.split(split)
            boxes = without_crowds(chosen.boxes)
            boxes_xywh, class_indices = boxes_xywh_of(boxes), _class_indices(boxes, tables.categories)
            box_rows = rows_by_image(boxes, chosen.images["image_id"].to_numpy())
            for image, rows in zip(_rows(chosen.images), box_rows, strict=True):
                suffix = PurePosixPath(image["member"]).suffix.lower()
                yield ExportedImage(
                    split,
                    stems.add(harmless_stem(image["file_name"])),
                    suffix if suffix in IMAGE_SUFFIXES else "",
                    image["width"],
                    image["height"],
                    boxes_xywh[rows],
                    class_indices[rows],
                    image["archive"],
                    image["member"],
                )
                progress.update()


def require_complete(tables: Tables) -> None:
    """Check that every image has a size, and every box an image, a class and finite numbers.

    Raises:
        BoxlineError: if not; the message names the first such row.

    """
    images, boxes = tables.images, tables.boxes
    has_size = pc.greater(pc.min_element_wise(images["width"], images["height"]), 0)
    is_finite = np.isfinite(boxes_xywh_of(boxes)).all(axis=1)
    problems = (
        ("images", "width and height", has_size.to_numpy()),
        ("boxes", "an image_id of its split", image_rows_of(boxes, images) >= 0),
        ("boxes", "the id of a category", _class_indices(boxes, tables.categories) >= 0),
        ("boxes", "finite numbers", is_finite),
    )
    for table, expected, is_complete in problems:
        if not is_complete.all():
            row = int(np.argmin(is_complete))
            raise BoxlineError(
                f"row {row + 1} of the {table} lacks {expected}. Export valid tables: data/DATASET/validate."
            )


def _class_indices(boxes: pa.Table, categories: pa.Table) -> NDArray[np.int64]:
    """The class index of each box, [N]; -1 where no category has its id."""
    rows = pc.index_in(boxes["category_id"], value_set=categories["category_id"].combine_chunks())
    indices = categories["class_index"].combine_chunks().take(rows.combine_chunks())
    return indices.fill_null(-1).to_numpy().astype(np.int64)


def _rows(images: pa.Table) -> Iterator[dict[str, Any]]:
    for batch in images.to_batches(BATCH_ROWS):
        yield from batch.to_pylist()
