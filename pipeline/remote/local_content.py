"""Content by its hash, from what this machine has: the workspace or DVC's cache. Nothing is fetched."""

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.remote.audit import file_has_content

if TYPE_CHECKING:
    from dvc.repo import Repo


class Contents:
    """Files of a DVC project in the current folder."""

    def __init__(self, repo: "Repo") -> None:
        self._cache = repo.cache.local

    def find(self, md5: str, path: str) -> Path | None:
        """A file with that content: the one at `path`, or the cache's; None where neither has it."""
        for candidate in (Path(path), Path(self._cache.oid_to_path(md5))):
            if candidate.is_file() and file_has_content(candidate, md5):
                return candidate
        return None
