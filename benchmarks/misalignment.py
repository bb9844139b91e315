"""The effect of cropping pixels but letterboxing boxes, as published, on targets: python -m benchmarks.misalignment

Nothing is trained. For each box of the COCO sample it measures the overlap of the target with the object in the model
input, and how often the center of the object is in another grid cell or cut off. The results are written to
benchmarks/results/misalignment.json and docs/results.md.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.docs_tables import replace_table
from benchmarks.scratch_project import PROJECT, REAL_DATA, ScratchProject
from pipeline.core.atomic_files import write_json
from pipeline.datasets.annotations import Tables, boxes_xywh_of, rows_by_image
from pipeline.geometry.boxes import Boxes, paired_iou, xywh_to_xyxy
from pipeline.geometry.resize import BOX_TRANSFORMS, PIXEL_TRANSFORMS
from pipeline.validation.joins import split_names

RESULTS = Path(__file__).parent / "results" / "misalignment.json"
IMAGE_SIZE, GRID_SIZE, FEW_BOXES = 448, 6, 4
"""The published values."""


def main() -> None:
    """Measure both ways, over all images and over those with few boxes, which the published system trains on."""
    if not REAL_DATA.is_dir():
        print(f"misalignment: skipped, there is no {REAL_DATA.relative_to(PROJECT.parent)}")
        return
    with tempfile.TemporaryDirectory() as folder:
        scratch = ScratchProject(Path(folder))
        scratch.run("validate@coco", {"datasets.coco.source": str(REAL_DATA / "coco")})
        tables = Tables.read(scratch.folder / "data" / "coco" / "validate")
    rows = [_row(tables, resize, max_boxes) for resize in ("letterbox", "crop") for max_boxes in (None, FEW_BOXES)]
    write_json(RESULTS, {"rows": rows})
    head = ("pixels", "images", "boxes", "mean IoU of target and object", "centers in another cell or cut off")
    cells = [
        (row["resize"], row["images"], f"{row['boxes']:,}", f"{row['mean_iou']:.3f}", f"{row['wrong_cells']:.3f}")
        for row in rows
    ]
    replace_table(PROJECT / "docs" / "results.md", "misalignment", [head, *cells])


def _images(tables: Tables) -> Iterator[tuple[int, int, Boxes]]:
    """Width, height and boxes of each image of all splits."""
    for split in split_names(tables.images):
        part = tables.split(split)
        boxes_xywh = boxes_xywh_of(part.boxes)
        by_image = rows_by_image(part.boxes, part.images["image_id"].to_pylist())
        sizes = (part.images[name].to_pylist() for name in ("width", "height"))
        for width, height, rows in zip(*sizes, by_image, strict=True):
            yield width, height, boxes_xywh[rows]


def _row(tables: Tables, resize: str, max_boxes: int | None) -> dict[str, Any]:
    """Compare targets with the places of the objects in the model input, clipped to it."""
    overlaps, wrong = [], []
    for width, height, boxes_xywh in _images(tables):
        if not len(boxes_xywh) or (max_boxes is not None and len(boxes_xywh) > max_boxes):
            continue
        targets, visible = (
            xywh_to_xyxy(transforms[resize](width, height, IMAGE_SIZE).apply_boxes(boxes_xywh))
            for transforms in (BOX_TRANSFORMS, PIXEL_TRANSFORMS)
        )
        overlaps.append(paired_iou(targets, np.clip(visible, 0, 1)))
        cells, visible_cells = (
            np.floor((corners[:, :2] + corners[:, 2:]) / 2 * GRID_SIZE) for corners in (targets, visible)
        )
        wrong.append((cells != visible_cells).any(axis=1))
    return {
        "resize": resize,
        "images": "all" if max_boxes is None else f"with {max_boxes} boxes or fewer",
        "boxes": sum(map(len, overlaps)),
        "mean_iou": float(np.concatenate(overlaps).mean()),
        "wrong_cells": float(np.concatenate(wrong).mean()),
    }


if __name__ == "__main__":
    main()
