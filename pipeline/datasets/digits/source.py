"""Where the digits are published, and what their files are."""

from pipeline.download.manifest import Asset

# The fork, because the original repository's CSV files do not describe its images.
UPSTREAM = "https://github.com/ayulockin/synthetic_datasets/raw/master"

IMAGE_ARCHIVES = {"train": "MNIST/MNIST_Converted_Training.zip", "test": "MNIST/MNIST_Converted_Testing.zip"}
LABEL_FILES = {"train": "MNIST/training_data.csv", "test": "MNIST/test_data.csv"}

# The publisher names no digests. Those of the CSV files were taken from a copy; none could be had for the archives.
ASSETS = [
    Asset(IMAGE_ARCHIVES["train"]),
    Asset(IMAGE_ARCHIVES["test"]),
    Asset(LABEL_FILES["train"], size_bytes=2_964_053, digest="md5:fc0a0d80e4a5b0a334dba48dbe597d67"),
    Asset(LABEL_FILES["test"], size_bytes=474_720, digest="md5:f86f598d332f60ad87fdc57349cb10c0"),
]


def image_member(split: str, file_name: str) -> str:
    """The image inside the archive of its split."""
    folder = {"train": "MNIST_Converted_Training", "test": "MNIST_Converted_Testing"}[split]
    return f"{folder}/{file_name}"
