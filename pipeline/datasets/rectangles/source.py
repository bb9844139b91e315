"""What the files of the rectangles are. They are drawn, so there is no upstream."""

from pipeline.download.manifest import Asset

UPSTREAM: str | None = None

IMAGE_ARCHIVES = {"train": "train.zip", "val": "val.zip"}
LABEL_FILES = {"train": "train.csv", "val": "val.csv"}
COLUMNS = ["file_name", "top", "left", "height", "width"]
"""Of the CSV files, in pixels."""

ASSETS = [Asset(path) for path in (*LABEL_FILES.values(), *IMAGE_ARCHIVES.values())]


def image_member(split: str, file_name: str) -> str:
    """The image inside the archive of its split."""
    return f"{split}/{file_name}"
