"""Where COCO 2017 is published, and what its files are."""

from pipeline.download.manifest import Asset

UPSTREAM = "http://images.cocodataset.org"

IMAGE_ARCHIVES = {"train": "zips/train2017.zip", "val": "zips/val2017.zip"}
ANNOTATION_ARCHIVE = "annotations/annotations_trainval2017.zip"

# Sizes and digests on which the download tables of ten public projects agree.
# The smallest first: a mistake in the address shows before 19 GB have come.
ASSETS = [
    Asset(ANNOTATION_ARCHIVE, size_bytes=252_907_541, digest="md5:f4bbac642086de4f52a3fdda2de5fa2c"),
    Asset(IMAGE_ARCHIVES["val"], size_bytes=815_585_330, digest="md5:442b8da7639aecaf257c1dceb8ba8c80"),
    Asset(
        IMAGE_ARCHIVES["train"],
        size_bytes=19_336_861_798,
        digest="sha256:69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929",
    ),
]


def annotation_member(split: str) -> str:
    """The annotations of that split inside ANNOTATION_ARCHIVE."""
    return f"annotations/instances_{split}2017.json"


def image_member(split: str, file_name: str) -> str:
    """The image inside the archive of its split."""
    return f"{split}2017/{file_name}"
