"""Where the snacks are published, and what is in their archive."""

from pipeline.download.manifest import Asset

UPSTREAM = "https://wolverine.raywenderlich.com/books/mlt"

ARCHIVE = "snacks.zip"
PREFIXES = ("snacks/", "")
"""What member names begin with: the dataset is passed around with and without its outer folder."""

SPLITS = ("train", "val", "test")
COLUMNS = ["image_id", "x_min", "x_max", "y_min", "y_max", "class_name", "folder"]
"""Of the annotations; both x stand before both y, in fractions of the image."""

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
    """The annotations of that split inside ARCHIVE."""
    return f"{prefix}annotations-{split}.csv"


def image_member(prefix: str, split: str, folder: str, image_id: str) -> str:
    """The image inside ARCHIVE."""
    return f"{prefix}{split}/{folder}/{image_id}.jpg"


# The publisher names neither size nor digest.
ASSETS = [
    Asset(
        ARCHIVE,
        unpacked=(
            *(annotation_member("", split) for split in SPLITS),
            *(image_member("", split, "*", "*") for split in SPLITS),
        ),
    )
]
