"""The folder that predictions are written to: a picture per image, and predictions.json in COCO's style."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa

from pipeline.core.atomic_files import read_json, write_json
from pipeline.core.errors import BoxlineError, join_items
from pipeline.inference.inputs import is_address
from pipeline.systems.interfaces import NO_CATEGORY
from pipeline.systems.labels import Labels

PREDICTIONS = "predictions.json"
MAX_STEM = 80
"""Longest name of a picture, without suffix: file systems end at 255 bytes, and a letter has up to four."""


class Answers:
    """What predictions.json will hold; ids count from 1 in the order of the images."""

    def __init__(self, labels: Labels) -> None:
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []
        names = {int(i): name for i, name in zip(labels.category_ids, labels.names, strict=True) if i != NO_CATEGORY}
        self._categories = [{"id": category_id, "name": names[category_id]} for category_id in sorted(names)]

    @property
    def num_images(self) -> int:
        """Images added so far."""
        return len(self._images)

    @property
    def num_boxes(self) -> int:
        """Boxes added so far."""
        return len(self._annotations)

    def add(self, file_name: str, width: int, height: int, pictures: list[str], detections: pa.Table) -> None:
        """An image, the files below the folder that show it, and its boxes in its pixels (schema.DETECTIONS).

        Boxes are written as answered: none is clipped. The area of one that was answered inverted is 0.
        """
        image_id = len(self._images) + 1
        size = {"width": width, "height": height}
        self._images.append({"id": image_id, "file_name": file_name, **size, "pictures": pictures})
        for row in detections.to_pylist():
            self._annotations.append(
                {
                    "id": len(self._annotations) + 1,
                    "image_id": image_id,
                    "category_id": row["category_id"],
                    "bbox": [row["x"], row["y"], row["width"], row["height"]],
                    "area": max(row["width"], 0.0) * max(row["height"], 0.0),
                    "score": row["score"],
                    "iscrowd": 0,
                }
            )

    def write(self, folder: Path, info: dict[str, Any]) -> None:
        """predictions.json"""
        content = {"info": info, "images": self._images, "annotations": self._annotations}
        write_json(folder / PREDICTIONS, {**content, "categories": self._categories})


def require_replaceable(out: Path) -> None:
    """Raise BoxlineError unless `out` is absent, empty, or holds what a former run wrote there and nothing else."""
    if not out.exists():
        parent = next(parent for parent in out.parents if parent.exists())
        if not parent.is_dir():
            raise BoxlineError(f"--out: {parent} is a file, expected a folder.")
        return
    if not out.is_dir():
        raise BoxlineError(f"--out: {out} is a file, expected a folder.")
    previous = _written_before(out)
    files = (path.relative_to(out).as_posix() for path in sorted(out.rglob("*")) if not path.is_dir())
    others = [name for name in files if name not in previous]
    if others:
        raise BoxlineError(
            f"--out: {out} holds files that are no former predictions ({join_items(others, limit=3)}), and all of it would "
            "be replaced. Give another folder."
        )


def picture_stem(name: str, taken: set[str]) -> str:
    """A file name without suffix for that image, made of harmless letters, and added to `taken`.

    Names that differ only in case count as the same one, as some file systems see them.

    >>> taken = set()
    >>> [picture_stem(name, taken) for name in ("a/cat.jpg", "b/Cat.png", "http://host/x%2F..%2Fdog.gif?s=1", "../..")]
    ['cat', 'Cat-2', 'dog', 'image']
    """
    path = unquote(urlsplit(name).path) if is_address(name) else name
    stem = re.sub(r"[^\w.-]+", "_", Path(path).stem)[:MAX_STEM].strip("._-") or "image"
    unique, number = stem, 1
    while unique.casefold() in taken:
        number += 1
        unique = f"{stem}-{number}"
    taken.add(unique.casefold())
    return unique


def _written_before(out: Path) -> set[str]:
    """The files that the predictions.json in `out` names, itself included; nothing where it is not ours."""
    try:
        images = read_json(out / PREDICTIONS)["images"]
        return {PREDICTIONS, *(name for image in images for name in image["pictures"])}
    except (BoxlineError, OSError, KeyError, TypeError):
        return set()
