"""boxline show: rows of the tables of a dataset as text, or one image with its boxes."""

import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.archives.archive_folder import ArchiveFolder
from pipeline.archives.image_decoding import open_image, to_uint8
from pipeline.archives.member_lookup import nearest_name
from pipeline.archives.zip_archive import MAX_IMAGE_BYTES
from pipeline.cli.paths import require_writable_path
from pipeline.core.config import load_params
from pipeline.core.errors import BoxlineError, join_items
from pipeline.core.formatting import escape_control, format_table
from pipeline.datasets.annotations import Tables, boxes_xywh_of, rows_by_image
from pipeline.geometry.labeled_boxes import LabeledBoxes

logger = logging.getLogger(__name__)

DATA = Path("data")
HEADER = ("image_id", "split", "file_name", "size", "box_id", "category", "x", "y", "width", "height", "area", "crowd")
ALIGNMENT = "><<>><>>>>><"
MAX_SPLITS = 10


def show(
    dataset: str,
    /,
    *,
    split: str | None = None,
    rows: int = 5,
    image: str | None = None,
    out: Path | None = None,
) -> int:
    """Show images with their boxes and the names of their classes, as they are in `data/<dataset>/tables`.

    Prints one line per box, in the published order. With --out, draws one image instead.

    Args:
        dataset: key of a dataset in params.yaml.
        split: show this split only: train, val or test.
        rows: number of images to print.
        image: show the image with this file name only.
        out: PNG or JPEG file to draw the image to, or the first image without --image.

    """
    if rows < 1:
        raise BoxlineError(f"--rows: received {rows}, expected 1 or more.")
    if out is not None:
        require_writable_path(out, "--out")
        if out.suffix.lower() not in (".png", ".jpg", ".jpeg"):
            raise BoxlineError(f"--out is {out}, expected a name that ends with .png or .jpg.")
    load_params().dataset(dataset)
    folder = DATA / dataset
    if not (folder / "tables").is_dir():
        raise BoxlineError(f"{folder}/tables not found. `dvc repro tables@{dataset}` builds it.")
    tables = Tables.read(folder / "tables")
    chosen = _choose(tables.images, split, image)
    if out is None:
        lines = format_table([HEADER, *_lines(tables, chosen.slice(0, rows))], ALIGNMENT, ruled=True)
        sys.stdout.write("\n".join(lines) + "\n")
        if chosen.num_rows > rows:
            sys.stdout.write(f"{rows:,} of {chosen.num_rows:,} images; --rows shows more.\n")
        return 0
    _draw(out, tables, chosen.slice(0, 1), ArchiveFolder(folder / "download"))
    logger.info("drew %s to %s", escape_control(chosen["file_name"][0].as_py()), out)
    return 0


def _choose(images: pa.Table, split: str | None, file_name: str | None) -> pa.Table:
    if split is not None:
        splits = images["split"].unique().to_pylist()
        if split not in splits:
            raise BoxlineError(f"--split: received {split!r}, expected one of {join_items(splits, MAX_SPLITS)}.")
        images = images.filter(pc.equal(images["split"], split))
    if file_name is None:
        return images
    found = images.filter(pc.equal(images["file_name"], file_name))
    if not found.num_rows:
        nearest = nearest_name(file_name, images["file_name"].to_pylist())
        hint = "" if nearest is None else f" The nearest name is {nearest!r}."
        raise BoxlineError(f"--image: no image has the file name {file_name!r}.{hint}")
    return found


def _lines(tables: Tables, images: pa.Table) -> Iterator[tuple[str, ...]]:
    for image in images.to_pylist():
        name, size = escape_control(image["file_name"]), f"{image['width']} x {image['height']}"
        of_image = (str(image["image_id"]), image["split"], name, size)
        boxes = _boxes_of(tables, image).to_pylist()
        for box in boxes:
            numbers = [f"{box[column]:.10g}" for column in ("x", "y", "width", "height", "area")]
            crowd = "crowd" if box["is_crowd"] else ""
            yield (*of_image, str(box["box_id"]), _class_name(tables, box["category_id"]), *numbers, crowd)
        if not boxes:
            yield (*of_image, *[""] * (len(HEADER) - len(of_image)))


def _boxes_of(tables: Tables, image: dict[str, Any]) -> pa.Table:
    boxes = tables.boxes.filter(pc.equal(tables.boxes["split"], image["split"]))
    [rows] = rows_by_image(boxes, [image["image_id"]])
    return boxes.take(pa.array(rows))


def _class_name(tables: Tables, category_id: int) -> str:
    row = pc.index(tables.categories["category_id"], category_id).as_py()
    return f"unknown id {category_id}" if row < 0 else escape_control(tables.categories["name"][row].as_py())


def _draw(out: Path, tables: Tables, images: pa.Table, archives: ArchiveFolder) -> None:
    # Only now: importing Matplotlib takes a while.
    from pipeline.plots.annotated_image import resize_for_drawing, save_annotated_image

    [image] = images.to_pylist()
    content = archives[image["archive"]][image["member"]].read(MAX_IMAGE_BYTES)
    with open_image(content, escape_control(image["file_name"]), "") as original:
        pixels = np.asarray(to_uint8(original).convert("RGB"))
    boxes = _boxes_of(tables, image)
    names = dict.fromkeys(_class_name(tables, category_id) for category_id in boxes["category_id"].to_pylist())
    labels = [list(names).index(_class_name(tables, category_id)) for category_id in boxes["category_id"].to_pylist()]
    height, width = pixels.shape[:2]
    boxes_rel_xywh = boxes_xywh_of(boxes) / [width, height, width, height]
    crowds = boxes["is_crowd"].to_numpy()
    labeled = LabeledBoxes(boxes_rel_xywh, np.array(labels, np.int64), is_crowd=crowds)
    save_annotated_image(out, resize_for_drawing(pixels), labeled, list(names))
