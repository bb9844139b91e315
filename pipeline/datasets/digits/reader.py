"""The digits' headerless CSV as tables: file name, label, xmin, ymin, xmax, ymax in fractions of the image."""

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image, UnidentifiedImageError

from pipeline import schema
from pipeline.datasets.digits.source import IMAGE_ARCHIVES, LABEL_FILES, image_member
from pipeline.datasets.tables import Tables, categories_table
from pipeline.errors import BoxlineError
from pipeline.geometry.boxes import xyxy_to_xywh
from pipeline.storage.archives import MAX_IMAGE_BYTES, Archive

COLUMNS = ["file name", "label", "xmin", "ymin", "xmax", "ymax"]


@dataclass(frozen=True)
class _Row:
    file_name: str
    digit: int
    corners_rel_xyxy: tuple[float, ...]


def read(download: Path) -> Tables:
    """Both splits below `download`. Images and boxes are numbered from 1 in the published order, train first."""
    images: list[dict[str, object]] = []
    boxes_xywh = []
    digits = []
    for split, label_file in LABEL_FILES.items():
        with Archive(download / IMAGE_ARCHIVES[split]) as archive:
            for row in _rows(download / label_file):
                member = image_member(split, row.file_name)
                width, height = _image_size(archive, member)
                images.append(
                    {
                        "image_id": len(images) + 1,
                        "split": split,
                        "file_name": row.file_name,
                        "width": width,
                        "height": height,
                        "archive": IMAGE_ARCHIVES[split],
                        "member": member,
                        "sha256": None,
                    }
                )
                boxes_xywh.append(xyxy_to_xywh(np.array(row.corners_rel_xyxy) * [width, height, width, height])[0])
                digits.append(row.digit)
    return Tables(
        images=pa.Table.from_pylist(images, schema.IMAGES),
        boxes=_boxes(np.array(boxes_xywh).reshape(-1, 4), digits),
        # COCO tools take category 0 for "no match", so digit 0 is category 1 and class 0.
        categories=categories_table(range(1, 11), [str(digit) for digit in range(10)], ["digit"] * 10),
    )


def _rows(path: Path) -> list[_Row]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise BoxlineError(f"{path} not found. `dvc repro` downloads it.") from None
    except UnicodeDecodeError as error:
        raise BoxlineError(f"{path}: byte {error.start} is not UTF-8. Save the file as UTF-8.") from None
    try:
        rows = list(csv.reader(lines))
    except csv.Error as error:
        raise BoxlineError(f"{path} is not CSV ({error}).") from None
    return [_row(path, line, fields) for line, fields in enumerate(rows, 1) if fields]


def _row(path: Path, line: int, fields: list[str]) -> _Row:
    if len(fields) != len(COLUMNS):
        raise BoxlineError(
            f"{path}, line {line}: received {len(fields)} fields ({','.join(fields)}), "
            f"expected {len(COLUMNS)}: {', '.join(COLUMNS)}."
        )
    if fields[1] not in "0123456789" or len(fields[1]) != 1:
        raise BoxlineError(f"{path}, line {line}, column label: received {fields[1]!r}, expected a digit from 0 to 9.")
    corners = tuple(_fraction(path, line, name, text) for name, text in zip(COLUMNS[2:], fields[2:], strict=True))
    return _Row(fields[0], int(fields[1]), corners)


def _fraction(path: Path, line: int, column: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise BoxlineError(
            f"{path}, line {line}, column {column}: received {text!r}, expected a fraction of the image."
        )
    return value


def _image_size(archive: Archive, member: str) -> tuple[int, int]:
    """Width and height from the image's header; the CSV does not tell them."""
    try:
        return Image.open(io.BytesIO(archive.read(member, MAX_IMAGE_BYTES))).size
    except (Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        reason = "no known image format" if isinstance(error, UnidentifiedImageError) else error
        raise BoxlineError(f"{archive.path}: member {member} is not an image that can be read ({reason}).") from None


def _boxes(boxes_xywh: np.ndarray, digits: list[int]) -> pa.Table:
    ids = np.arange(1, len(digits) + 1)
    x, y, width, height = boxes_xywh.T
    columns = [ids, ids, np.array(digits) + 1, x, y, width, height, width * height, np.zeros(len(digits), bool)]
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, schema.BOXES, strict=True)], schema.BOXES)
