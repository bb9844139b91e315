"""Where COCO 2017 is published, and as which files."""

from pipeline.datasets.interfaces import DatasetSource
from pipeline.download.manifest import Asset

IMAGE_ARCHIVES = {"train": "zips/train2017.zip", "val": "zips/val2017.zip"}
ANNOTATION_ARCHIVE = "annotations/annotations_trainval2017.zip"

SOURCE = DatasetSource(
    base_url="http://images.cocodataset.org",
    # Sizes and checksums on which the download tables of ten public projects agree.
    # The smallest file is first, so that a wrong address fails before 19 GB are downloaded.
    assets=(
        Asset(ANNOTATION_ARCHIVE, size_bytes=252_907_541, checksum="md5:f4bbac642086de4f52a3fdda2de5fa2c"),
        Asset(IMAGE_ARCHIVES["val"], size_bytes=815_585_330, checksum="md5:442b8da7639aecaf257c1dceb8ba8c80"),
        Asset(
            IMAGE_ARCHIVES["train"],
            size_bytes=19_336_861_798,
            checksum="sha256:69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929",
        ),
    ),
)


def annotation_member(split: str) -> str:
    """Name of the split's annotations in ANNOTATION_ARCHIVE."""
    return f"annotations/instances_{split}2017.json"


def image_member(split: str, file_name: str) -> str:
    """Name of the image in the archive of its split."""
    return f"{split}2017/{file_name}"
