"""COCO-size annotations: read with json.load and loops, as the published notebook does, and as three Parquet tables."""

import json
import zipfile
from pathlib import Path
from typing import Any

from benchmarks.full_size import write_annotations
from benchmarks.processes import compare
from pipeline.datasets.coco.reader import CocoReader
from pipeline.datasets.coco.source import ANNOTATION_ARCHIVE, annotation_member

ROUNDS = 3


def annotations_benchmark(folder: Path) -> dict[str, float]:
    """Compare both on an archive with 118,287 training images, 860,001 outlined boxes, and the validation split."""
    size_bytes = write_annotations(folder)
    return {
        "json_megabytes": size_bytes / 1e6,
        **compare("benchmarks.annotations", "read_as_published", "read_as_tables", folder, ROUNDS),
    }


def read_as_published(folder: Path) -> None:
    """Extract, load as Python objects, collect the boxes of each image and scale them to its padded square."""
    with zipfile.ZipFile(folder / ANNOTATION_ARCHIVE) as archive:
        archive.extractall(folder / "unpacked")
    for split in ("train", "val"):
        with (folder / "unpacked" / annotation_member(split)).open(encoding="utf-8") as file:
            _gather(json.load(file))


def _gather(content: dict[str, Any]) -> dict[int, dict[str, Any]]:
    images = {image["id"]: image for image in content["images"]}
    metadata: dict[int, dict[str, Any]] = {}
    for annotation in content["annotations"]:
        image_id = annotation["image_id"]
        image = images[image_id]
        scale = 1 / max(image["width"], image["height"])
        left, top = (0.5 - scale * image[side] / 2 for side in ("width", "height"))
        x, y, width, height = annotation["bbox"]
        if image_id not in metadata:
            metadata[image_id] = {"boxes": [], "labels": [], "path": image["file_name"]}
        metadata[image_id]["boxes"].append((x * scale + left, y * scale + top, width * scale, height * scale))
        metadata[image_id]["labels"].append(annotation["category_id"])
    return metadata


def read_as_tables(folder: Path) -> None:
    """Read as the stage `tables` does."""
    CocoReader().read(folder).write(folder / "tables")
