"""Where the snacks are published, and as which files."""

from pipeline.datasets.interfaces import DatasetSource
from pipeline.download.manifest import Asset

ARCHIVE = "snacks.zip"
PREFIX = "snacks/"
"""What the names of members begin with. Copies of the dataset exist without this folder, or with others around it."""

SPLITS = ("train", "val", "test")
COLUMNS = ["image_id", "x_min", "x_max", "y_min", "y_max", "class_name", "folder"]
"""Header of the annotations. Both x come before both y; all four are fractions of the image."""

CLASSES = [
    "apple",
    "banana",
    "cake",
    "candy",
    "carrot",
    "cookie",
    "doughnut",
    "grape",
    "hot dog",
    "ice cream",
    "juice",
    "muffin",
    "orange",
    "pineapple",
    "popcorn",
    "pretzel",
    "salad",
    "strawberry",
    "waffle",
    "watermelon",
]


def annotation_member(prefix: str, split: str) -> str:
    """Name of the split's annotations in ARCHIVE."""
    return f"{prefix}annotations-{split}.csv"


def image_member(prefix: str, split: str, folder: str, image_id: str) -> str:
    """Name of the image in ARCHIVE."""
    return f"{prefix}{split}/{folder}/{image_id}.jpg"


SOURCE = DatasetSource(
    base_url="https://wolverine.raywenderlich.com/books/mlt",
    assets=(
        Asset(  # the publisher states neither size nor checksum
            ARCHIVE,
            unpacked=(
                *(annotation_member("", split) for split in SPLITS),
                *(image_member("", split, "*", "*") for split in SPLITS),
            ),
        ),
    ),
)
