"""Fixtures of the recorded project."""

from tests.support.recorded_project_fixtures import cache, project, remote

__all__ = ["cache", "project", "remote"]
