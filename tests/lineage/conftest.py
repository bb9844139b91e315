"""The hand-made project, built once."""

from tests.support.recorded_project_fixtures import built, cache, project, pushed, remote

__all__ = ["built", "cache", "project", "pushed", "remote"]
