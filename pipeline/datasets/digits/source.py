"""Where the digits are published, and as which files."""

from pipeline.datasets.interfaces import DatasetSource
from pipeline.download.manifest import Asset

IMAGE_ARCHIVES = {"train": "MNIST/MNIST_Converted_Training.zip", "test": "MNIST/MNIST_Converted_Testing.zip"}
LABEL_FILES = {"train": "MNIST/training_data.csv", "test": "MNIST/test_data.csv"}

SOURCE = DatasetSource(
    # The fork, because the CSV files of the original repository do not describe its images.
    base_url="https://github.com/ayulockin/synthetic_datasets/raw/master",
    # The publisher states no checksums. Those of the CSV files come from a copy; there was no copy of the archives.
    assets=(
        Asset(IMAGE_ARCHIVES["train"]),
        Asset(IMAGE_ARCHIVES["test"]),
        Asset(LABEL_FILES["train"], size_bytes=2_964_053, checksum="md5:fc0a0d80e4a5b0a334dba48dbe597d67"),
        Asset(LABEL_FILES["test"], size_bytes=474_720, checksum="md5:f86f598d332f60ad87fdc57349cb10c0"),
    ),
)


def image_member(split: str, file_name: str) -> str:
    """Name of the image in the archive of its split."""
    folder = {"train": "MNIST_Converted_Training", "test": "MNIST_Converted_Testing"}[split]
    return f"{folder}/{file_name}"
