"""Settings of all tests."""

import os

from hypothesis import settings

# No deadlines: how long an example takes says something about the machine and nothing about the code. In CI the
# examples are the same in every run, so that a failure belongs to the change that it appears with.
settings.register_profile("boxline", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("boxline")
