"""The folder that `boxline predict` writes: annotated images, and predictions.json in COCO's dataset format."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa

from pipeline.core.atomic_files import read_json, write_json
from pipeline.core.errors import BoxlineError, join_items
from pipeline.core.file_names import harmless_stem
from pipeline.inference.inputs import is_url
from pipeline.systems.common.labels import NO_CATEGORY, Labels

PREDICTIONS = "predictions.json"


class PredictionsFile:
    """The content of predictions.json: COCO's dataset format with a score per annotation, so that COCO tools read it.

    Ids count from 1 in the order of the images.
    """

    def __init__(self, labels: Labels) -> None:
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []
        names = {int(i): name for i, name in zip(labels.category_ids, labels.names, strict=True) if i != NO_CATEGORY}
        self._names = names
        self._categories = [{"id": category_id, "name": names[category_id]} for category_id in sorted(names)]

    @property
    def num_images(self) -> int:
        """Images added so far."""
        return len(self._images)

    @property
    def num_boxes(self) -> int:
        """Boxes added so far."""
        return len(self._annotations)

    def add(
        self,
        file_name: str,
        width: int,
        height: int,
        files: list[str],
        detections: pa.Table,
        crops: Sequence[str | None] | None = None,
    ) -> None:
        """Add an image with its boxes.

        Args:
            file_name: the image as the user named it.
            width: width of the image as viewers show it, in pixels.
            height: its height.
            files: the files that show it, relative to the folder of predictions.json.
            detections: its boxes with schema.DETECTIONS. They are not clipped to the image. The area of an inverted box
                is 0.
            crops: the file of each box's crop, None for a box that shows nothing of the image; None without crops.

        """
        image_id = len(self._images) + 1
        size = {"width": width, "height": height}
        counts = Counter(self._names[category_id] for category_id in detections["category_id"].to_pylist())
        all_files = [*files, *(crop for crop in crops or () if crop is not None)]
        # The most frequent class first; of equal counts the one with the higher score.
        image = {"id": image_id, "file_name": file_name, **size, "files": all_files}
        self._images.append({**image, "counts": dict(counts.most_common())})
        for index, row in enumerate(detections.to_pylist()):
            self._annotations.append(
                {
                    "id": len(self._annotations) + 1,
                    "image_id": image_id,
                    "category_id": row["category_id"],
                    "bbox": [row["x"], row["y"], row["width"], row["height"]],
                    "area": max(row["width"], 0.0) * max(row["height"], 0.0),
                    "score": row["score"],
                    "iscrowd": 0,
                    **({} if crops is None else {"crop": crops[index]}),
                }
            )

    def counts_by_image(self) -> list[tuple[str, dict[str, int]]]:
        """The name of each image, and how many boxes of each class it has. Classes of the same name count as one."""
        return [(image["file_name"], image["counts"]) for image in self._images]

    def write(self, folder: Path, info: dict[str, Any]) -> None:
        """Write predictions.json into `folder`, with `info` as its first section."""
        content = {"info": info, "images": self._images, "annotations": self._annotations}
        write_json(folder / PREDICTIONS, {**content, "categories": self._categories})


def require_replaceable(out: Path) -> None:
    """Check that `out` is absent, empty, or holds nothing but the files of a previous run.

    Raises:
        BoxlineError: if `out` is a file or below one, or if it holds other files, which would be deleted.

    """
    if not out.exists():
        parent = next(parent for parent in out.parents if parent.exists())
        if not parent.is_dir():
            raise BoxlineError(f"--out: {parent} is a file, expected a folder.")
        return
    if not out.is_dir():
        raise BoxlineError(f"--out: {out} is a file, expected a folder.")
    previous = _files_of_previous_run(out)
    files = (path.relative_to(out).as_posix() for path in sorted(out.rglob("*")) if not path.is_dir())
    others = [name for name in files if name not in previous]
    if others:
        raise BoxlineError(
            f"--out: {out} holds files that no previous run wrote ({join_items(others, limit=3)}), "
            "and the whole folder would be replaced. Give another folder."
        )


def image_stem(name: str) -> str:
    """The stem of the files about an image that a path or an address names.

    >>> [image_stem(name) for name in ("a/cat.jpg", "http://host/x%2F..%2Fdog.gif?s=1")]
    ['cat', 'dog']
    """
    return harmless_stem(unquote(urlsplit(name).path) if is_url(name) else name)


def _files_of_previous_run(out: Path) -> set[str]:
    """The files that the predictions.json in `out` names, itself included; none if Boxline did not write it."""
    try:
        images = read_json(out / PREDICTIONS)["images"]
        return {PREDICTIONS, *(name for image in images for name in image["files"])}
    except (BoxlineError, OSError, KeyError, TypeError):
        return set()
