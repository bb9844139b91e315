"""Annotations of COCO's full size: as the published notebook reads them, and as three Parquet tables."""

import json
import zipfile
from pathlib import Path
from typing import Any

from benchmarks.full_size import write_annotations
from benchmarks.ways import compare
from pipeline.datasets.coco import reader
from pipeline.datasets.coco.source import ANNOTATION_ARCHIVE, annotation_member

ROUNDS = 3


def tables_benchmark(folder: Path) -> dict[str, float]:
    """118,287 training images and 860,001 boxes with their outlines, and the validation split, from the archive."""
    size_bytes = write_annotations(folder)
    return {"json_megabytes": size_bytes / 1e6, **compare("benchmarks.tables", "literal", "typed", folder, ROUNDS)}


def literal(folder: Path) -> None:
    """Unpacked, loaded as Python objects, and looped over: boxes gathered by image and scaled to its padded square."""
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


def typed(folder: Path) -> None:
    """As the stage `tables` does."""
    reader.read(folder).write(folder / "tables")
