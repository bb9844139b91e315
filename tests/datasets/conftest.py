"""Small samples of all datasets, for tests of their readers."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.core.config import parse_config
from pipeline.datasets.registry import get_dataset

SAMPLES = {
    "coco": {"train_images": 3, "val_images": 2},
    "digits": {"train_images": 3, "test_images": 2},
    "rectangles": {"train_images": 3, "val_images": 2, "image_size": 20},
    "snacks": {"train_images": 3, "val_images": 2, "test_images": 1},
}


@pytest.fixture(scope="module", params=list(SAMPLES))
def sample(request: pytest.FixtureRequest) -> Iterator[tuple[str, Path]]:
    """The name of a dataset and a folder with its sample."""
    writer = get_dataset(request.param).sample_writer()
    with tempfile.TemporaryDirectory() as folder:
        writer.write(Path(folder), parse_config({"seed": 5, **SAMPLES[request.param]}, writer.config_class, "sample"))
        yield request.param, Path(folder)
