"""The files of the rectangles. They are generated and not published."""

from pipeline.datasets.interfaces import DatasetSource
from pipeline.download.manifest import Asset

IMAGE_ARCHIVES = {"train": "train.zip", "val": "val.zip"}
LABEL_FILES = {"train": "train.csv", "val": "val.csv"}
COLUMNS = ["file_name", "top", "left", "height", "width"]
"""Header of the CSV files. Positions and sizes are in pixels."""

SOURCE = DatasetSource(
    base_url=None, assets=tuple(Asset(path) for path in (*LABEL_FILES.values(), *IMAGE_ARCHIVES.values()))
)


def image_member(split: str, file_name: str) -> str:
    """Name of the image in the archive of its split."""
    return f"{split}/{file_name}"
