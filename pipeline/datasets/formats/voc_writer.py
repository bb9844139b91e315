"""Writes the tables of any dataset as Pascal VOC: an XML file per image, and lists of the images of each split."""

import re
import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from pipeline.archives.archive_folder import ArchiveFolder
from pipeline.core.errors import BoxlineError
from pipeline.datasets.annotations import Tables
from pipeline.datasets.formats.exported_images import ExportedImage, exported_images

CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f\ufffe\uffff]")

ANNOTATIONS, IMAGES, LISTS = "Annotations", "JPEGImages", "ImageSets/Main"


def write_voc(folder: Path, tables: Tables, splits: Sequence[str], archives: ArchiveFolder | None) -> None:
    """Write `Annotations/*.xml`, `ImageSets/Main/<split>.txt`, and with archives also `JPEGImages/*`.

    Corners are written as they are in the tables, from 0 and with all their digits, whole ones without a point.
    Outlines and crowd regions are left out. An image without boxes has a file without objects.

    Args:
        folder: an empty folder.
        tables: complete tables, see `require_complete`.
        splits: the splits to write, some of train, val and test.
        archives: the archives of the images; None to write annotations only.

    Raises:
        BoxlineError: if the name of a class cannot be written, or an image cannot be read.

    """
    for name in (ANNOTATIONS, LISTS, *([] if archives is None else [IMAGES])):
        (folder / name).mkdir(parents=True)
    class_names = tables.categories["name"].to_pylist()
    for name in class_names:
        if CONTROL_CHARACTER.search(name):
            raise BoxlineError(f"the class {name!r} has a control character, which XML cannot hold. Rename the class.")
    stems = defaultdict(list)
    for image in exported_images(tables, splits, folder):
        root = _annotation(image, class_names)
        ET.indent(root)
        (folder / ANNOTATIONS / f"{image.stem}.xml").write_bytes(ET.tostring(root, "utf-8") + b"\n")
        stems[image.split].append(f"{image.stem}\n")
        if archives is not None:
            image.write_file(folder / IMAGES / image.file_name, archives)
    for split in splits:
        (folder / LISTS / f"{split}.txt").write_text("".join(stems[split]), encoding="utf-8")


def _annotation(image: ExportedImage, class_names: Sequence[str]) -> ET.Element:
    root = ET.Element("annotation")
    _add(root, {"folder": IMAGES, "filename": image.file_name})
    _add(ET.SubElement(root, "size"), {"width": str(image.width), "height": str(image.height), "depth": "3"})
    _add(root, {"segmented": "0"})
    for index, (x, y, width, height) in zip(image.class_indices.tolist(), image.boxes_xywh.tolist(), strict=True):
        element = ET.SubElement(root, "object")
        _add(element, {"name": class_names[index], "pose": "Unspecified", "truncated": "0", "difficult": "0"})
        corners = {"xmin": x, "ymin": y, "xmax": x + width, "ymax": y + height}
        _add(ET.SubElement(element, "bndbox"), {name: _number(value) for name, value in corners.items()})
    return root


def _add(element: ET.Element, texts: dict[str, str]) -> None:
    for tag, text in texts.items():
        ET.SubElement(element, tag).text = text


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)
