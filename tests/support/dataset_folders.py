"""Small folders of images and annotations, for tests of readers."""

import io
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from PIL import Image

from pipeline.archives.file_tree import FileTree
from pipeline.datasets.annotations import Reading


@cache
def png(width: int, height: int) -> bytes:
    """A black image."""
    content = io.BytesIO()
    Image.new("L", (width, height)).save(content, "PNG")
    return content.getvalue()


def write_tree(root: Path, files: Mapping[str, bytes | str]) -> FileTree:
    """The tree of a folder that gets these files."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return FileTree(root)


def boxes_of(reading: Reading) -> list[tuple[str, str, tuple[float, ...], str, int]]:
    """File of the image, class, box x, y, width, height, and annotation file and number of each box."""
    tables = reading.tables
    names = dict(zip(*(tables.categories[name].to_pylist() for name in ("category_id", "name")), strict=True))
    images = dict(zip(*(tables.images[name].to_pylist() for name in ("image_id", "file_name")), strict=True))
    return [
        (
            images[box["image_id"]],
            names[box["category_id"]],
            tuple(box[side] for side in ("x", "y", "width", "height")),
            place["file"],
            place["number"],
        )
        for box, place in zip(tables.boxes.to_pylist(), reading.box_locations.to_pylist(), strict=True)
    ]


def splits_of(reading: Reading) -> dict[str, str]:
    """The split of each image by its file."""
    images = reading.tables.images
    return dict(zip(images["file_name"].to_pylist(), images["split"].to_pylist(), strict=True))


def refused(reading: Reading) -> list[tuple[str, int, str]]:
    """File, number and reason of what is refused."""
    return [(row["file"], row["number"], row["reason"]) for row in reading.refused.to_pylist()]


def passed_over(reading: Reading) -> dict[str, tuple[int, str]]:
    """Count and examples of what is passed over, by kind."""
    return {row["kind"]: (row["count"], row["examples"]) for row in reading.passed_over.to_pylist()}
