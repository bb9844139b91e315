"""boxline export: tables in a format that annotation tools and other trainers read."""

import logging
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.archives.archive_folder import ArchiveFolder
from pipeline.cli.paths import require_writable_path
from pipeline.core.atomic_files import atomic_directory
from pipeline.core.errors import BoxlineError, join_items
from pipeline.core.formatting import pluralize
from pipeline.datasets.annotations import Tables
from pipeline.datasets.formats.coco_writer import write_instances
from pipeline.datasets.formats.exported_images import require_complete
from pipeline.datasets.formats.split_names import SPLITS
from pipeline.datasets.formats.voc_writer import write_voc
from pipeline.datasets.formats.yolo_writer import write_yolo

logger = logging.getLogger(__name__)

FOLDER_WRITERS = {"yolo": write_yolo, "voc": write_voc}


def export(
    tables: Path,
    out: Path,
    /,
    *,
    format: Literal["coco", "yolo", "voc"] = "coco",  # noqa: A002  # the name of the option
    split: Literal["train", "val", "test"] | None = None,
    images: Path | None = None,
) -> int:
    """Write tables in a format that annotation tools and other trainers read.

    `coco` is one JSON file of one split: ids, numbers and outlines are kept, images and boxes keep their order, and
    categories are sorted by id. `yolo` is a folder with data.yaml and labels/, `voc` a folder with Annotations/ and
    ImageSets/: of all splits, with boxes alone, without outlines and crowd regions.

    Args:
        tables: folder of tables, such as data/coco/validate.
        out: file or folder to write. An existing file is replaced; an existing folder must be empty.
        format: the format.
        split: the only split to write; train if coco needs one, else all splits.
        images: download folder, such as data/coco/download: its images are written beside the labels of yolo and voc.

    """
    if format == "coco":
        if images is not None:
            raise BoxlineError("--images: a file of COCO holds no images. Omit it, or choose --format yolo or voc.")
        require_writable_path(out, "OUT")
    else:
        _require_new_folder(out)
    published = Tables.read(tables, with_outlines=format == "coco")
    if format == "coco":
        [chosen_split] = _chosen_splits(tables, published, split or "train")
        chosen = published.split(chosen_split)
        write_instances(out, chosen)
        logger.info("wrote %d images and %d boxes to %s", chosen.images.num_rows, chosen.boxes.num_rows, out)
        return 0
    require_complete(published)
    splits = _chosen_splits(tables, published, split)
    archives = None if images is None else ArchiveFolder(images)
    with atomic_directory(out) as folder:
        FOLDER_WRITERS[format](folder, published, splits, archives)
    _log_counts(out, published, splits)
    return 0


def _require_new_folder(out: Path) -> None:
    """Check that nothing is replaced: a folder of other data may have been named by mistake."""
    require_writable_path(out / "data.yaml", "OUT")
    if out.exists() and any(out.iterdir()):
        raise BoxlineError(f"OUT is {out}, a folder with files; expected a new or empty one. Name another folder.")


def _chosen_splits(tables: Path, published: Tables, split: str | None) -> list[str]:
    found = published.images["split"].unique().to_pylist()
    splits = [name for name in SPLITS if name in found and split in (None, name)]
    if not splits:
        raise BoxlineError(f"{tables} holds no images of split {split!r}; expected --split {join_items(found)}.")
    return splits


def _log_counts(out: Path, published: Tables, splits: list[str]) -> None:
    images, boxes = (
        table.filter(pc.is_in(table["split"], value_set=pa.array(splits)))
        for table in (published.images, published.boxes)
    )
    num_crowds = pc.sum(boxes["is_crowd"]).as_py() or 0
    left_out = f"; left out {pluralize(num_crowds, 'crowd region', 'crowd regions')}" if num_crowds else ""
    logger.info("wrote %d images and %d boxes to %s%s", images.num_rows, boxes.num_rows - num_crowds, out, left_out)
