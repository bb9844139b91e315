"""The file formats by their names in params.yaml. A reader is imported only on request."""

import importlib
from typing import Any

from pipeline.core.errors import BoxlineError, join_items
from pipeline.datasets.formats.interfaces import FormatReader

FORMATS = {
    "yolo": "yolo_reader.YoloReader",
    "coco": "coco_reader.CocoReader",
    "voc": "voc_reader.VocReader",
    "cvat": "cvat_reader.CvatReader",
    "labelme": "labelme_reader.LabelmeReader",
    "label_studio": "label_studio_reader.LabelStudioReader",
    "csv": "csv_reader.CsvReader",
    "tfrecord": "tfrecord_reader.TfRecordReader",
}
"""Module and class of each reader. If files fit several formats, the first one is the most specific."""


def get_format(name: str, where: str = "params.yaml: datasets.<name>.format") -> FormatReader[Any]:
    """The reader of that format.

    Args:
        name: a key of FORMATS.
        where: the place that names the format, for the error message.

    Raises:
        BoxlineError: if there is no such format; the message lists the known ones.

    """
    if name not in FORMATS:
        raise BoxlineError(f"{where}: received {name!r}, expected one of {join_items(FORMATS, len(FORMATS))}.")
    module, class_name = FORMATS[name].split(".")
    reader: FormatReader[Any] = getattr(importlib.import_module(f"pipeline.datasets.formats.{module}"), class_name)()
    return reader
