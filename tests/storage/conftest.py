"""Disks that are full."""

import resource
from collections.abc import Iterator

import pytest


@pytest.fixture
def most_file_bytes() -> Iterator[int]:
    """The system takes no byte more in any file, as if the disk were full there."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    yield 100_000
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
