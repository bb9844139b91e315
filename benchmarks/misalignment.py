"""What it does to targets to crop the pixels and letterbox the boxes, as published: python -m benchmarks.misalignment

No training: for each box of the COCO sample, how much the target overlaps the object that the network sees, and how
often the object's centre is in another cell of the grid, or cut off. Written to benchmarks/results/misalignment.json
and docs/results.md.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.scratch import PROJECT, REAL_DATA, Scratch
from benchmarks.tables_in_docs import replace_table
from pipeline.core.atomic_files import write_json
from pipeline.datasets.annotations import Tables, boxes_xywh_of, rows_by_image
from pipeline.geometry.boxes import paired_iou, xywh_to_xyxy
from pipeline.geometry.resize import BOX_TRANSFORMS, PIXEL_TRANSFORMS

RESULTS = Path(__file__).parent / "results" / "misalignment.json"
IMAGE_PIXELS, GRID_CELLS, FEW_BOXES = 448, 6, 4
"""As published."""


def main() -> None:
    """Count both ways, over all images and over those with few boxes, which the published system trains on."""
    if not REAL_DATA.is_dir():
        print(f"misalignment: left out, there is no {REAL_DATA.relative_to(PROJECT.parent)}")
        return
    with tempfile.TemporaryDirectory() as folder:
        scratch = Scratch(Path(folder))
        scratch.run("validate@coco", {"datasets.coco.source": str(REAL_DATA / "coco")})
        tables = Tables.read(scratch.folder / "data" / "coco" / "validate")
    rows = [_row(tables, resize, most) for resize in ("letterbox", "crop") for most in (None, FEW_BOXES)]
    write_json(RESULTS, {"rows": rows})
    head = ("pixels", "images", "boxes", "mean IoU of target and object", "centres in another cell or cut off")
    cells = [
        (row["resize"], row["images"], f"{row['boxes']:,}", f"{row['mean_iou']:.3f}", f"{row['wrong_cells']:.3f}")
        for row in rows
    ]
    replace_table(PROJECT / "docs" / "results.md", "misalignment", [head, *cells])


def _row(tables: Tables, resize: str, most: int | None) -> dict[str, Any]:
    """Targets against the places of the objects in the pixels, as far as these are inside the square."""
    overlaps, wrong = [], []
    image_ids = tables.images["image_id"].to_numpy()
    sizes = zip(tables.images["width"].to_pylist(), tables.images["height"].to_pylist(), strict=True)
    boxes_xywh = boxes_xywh_of(tables.boxes)
    for (width, height), rows in zip(sizes, rows_by_image(tables.boxes, image_ids), strict=True):
        if not len(rows) or (most is not None and len(rows) > most):
            continue
        targets, seen = (
            xywh_to_xyxy(place[resize](width, height, IMAGE_PIXELS).apply_boxes(boxes_xywh[rows]))
            for place in (BOX_TRANSFORMS, PIXEL_TRANSFORMS)
        )
        overlaps.append(paired_iou(targets, np.clip(seen, 0, 1)))
        cells, seen_cells = (
            np.floor((corners[:, :2] + corners[:, 2:]) / 2 * GRID_CELLS) for corners in (targets, seen)
        )
        wrong.append((cells != seen_cells).any(axis=1))
    return {
        "resize": resize,
        "images": "all" if most is None else f"with {most} boxes or fewer",
        "boxes": sum(map(len, overlaps)),
        "mean_iou": float(np.concatenate(overlaps).mean()),
        "wrong_cells": float(np.concatenate(wrong).mean()),
    }


if __name__ == "__main__":
    main()
