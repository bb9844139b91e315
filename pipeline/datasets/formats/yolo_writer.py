"""Writes the tables of any dataset as YOLO reads them: `data.yaml`, and a text file per image."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ruamel.yaml import YAML

from pipeline.archives.archive_folder import ArchiveFolder
from pipeline.datasets.annotations import Tables
from pipeline.datasets.formats.exported_images import exported_images

MAX_LINE_CHARACTERS = 1 << 20
"""Keeps the name of a class on one line."""


def write_yolo(folder: Path, tables: Tables, splits: Sequence[str], archives: ArchiveFolder | None) -> None:
    """Write `data.yaml`, `labels/<split>/*.txt`, and with archives also `images/<split>/*`.

    Boxes are written as fractions with all their digits, so that they are read with an error of less than 1e-9 pixels.
    Outlines and crowd regions are left out. An image without boxes has an empty file. There is no `path` in
    `data.yaml`, because Ultralytics takes it relative to a folder of its own settings; without it, the folder of the
    file counts.

    Args:
        folder: an empty folder.
        tables: complete tables, see `require_complete`.
        splits: the splits to write, some of train, val and test.
        archives: the archives of the images; None to write labels only.

    """
    for split in splits:
        (folder / "labels" / split).mkdir(parents=True)
        if archives is not None:
            (folder / "images" / split).mkdir(parents=True)
    for image in exported_images(tables, splits, folder):
        x, y, width, height = image.boxes_xywh.T
        centers = np.stack([x + width / 2, y + height / 2, width, height], axis=1)
        fractions = centers / np.tile([image.width, image.height], 2)
        lines = [
            f"{index} {' '.join(map(repr, values))}\n"
            for index, values in zip(image.class_indices.tolist(), fractions.tolist(), strict=True)
        ]
        (folder / "labels" / image.split / f"{image.stem}.txt").write_text("".join(lines), encoding="ascii")
        if archives is not None:
            image.write_file(folder / "images" / image.split / image.file_name, archives)
    indices, names = (tables.categories[name].to_pylist() for name in ("class_index", "name"))
    content = {split: f"images/{split}" for split in splits} | {"names": dict(zip(indices, names, strict=True))}
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style, yaml.width = False, MAX_LINE_CHARACTERS
    yaml.dump(content, folder / "data.yaml")
