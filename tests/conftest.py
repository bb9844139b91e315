"""Settings of all tests, and the browser that opens pages."""

import os
import resource
import shutil
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings
from playwright.sync_api import Browser, sync_playwright

from tests.support.recorded_project_fixtures import pushed_project as pushed_project  # here, so that it is built once

# No deadlines: how long an example takes says something about the machine and nothing about the code. In CI the
# examples are the same in every run, so that a failure belongs to the change that it appears with.
settings.register_profile("boxline", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("boxline")

# A shell that starts the tests in the background has them ignore Ctrl-C, and so would every process that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Tests that run side by side have a core each; threads of TensorFlow that wait for each other's cores cost both.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ |= {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the packages whose tests take longest, so that no worker ends with one while the other has nothing."""
    longest_first = ("tests/e2e/", "tests/training/", "tests/systems/")
    items.sort(key=lambda item: next((at for at, path in enumerate(longest_first) if item.nodeid.startswith(path)), 3))


@pytest.fixture(scope="module")  # not for all tests: Playwright keeps an event loop while it runs
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("There is no chromium on PATH, so nothing opens the page; `make programs` installs it on Debian.")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=["--headless=new", "--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def most_file_bytes() -> Iterator[int]:
    """The system takes no byte more in any file, as if the disk were full there."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    yield 100_000
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
