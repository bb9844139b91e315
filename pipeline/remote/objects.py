"""Objects of DVC, which are files and listings of directories stored under their MD5."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from pipeline.download.checksums import READ_BYTES

if TYPE_CHECKING:
    from dvc.repo import Repo

DIRECTORY_SUFFIX = ".dir"
"""Ends the hash of a directory. Its object is the listing of its files: a JSON array of MD5s and relative paths."""


@dataclass(frozen=True)
class Location:
    """A path in the workspace where an object belongs.

    Attributes:
        path: relative to the project's root folder.
        stage: the stage of dvc.yaml or the .dvc file whose output it is.
        is_built: whether the stage has a command that builds it; False for data that was added by hand.

    """

    path: str
    stage: str
    is_built: bool


@dataclass(frozen=True)
class Output:
    """A file or directory that a stage or a .dvc file has as an output.

    Attributes:
        location: where it belongs.
        oid: its hash.
        size_bytes: the size in dvc.lock; for directories, that of all their files together.

    """

    location: Location
    oid: str
    size_bytes: int | None


@dataclass(frozen=True)
class Directory:
    """An output that is a directory, and the listing of its files, or None if neither cache nor remote has it."""

    output: Output
    listing: bytes | None

    def files(self) -> list[tuple[str, str]]:
        """Return hash and path of each file; none if the listing is missing."""
        if self.listing is None:
            return []
        return [(entry["md5"], f"{self.output.location.path}/{entry['relpath']}") for entry in json.loads(self.listing)]


@dataclass
class ExpectedObject:
    """An object that dvc.lock or a .dvc file refers to.

    Attributes:
        oid: its hash.
        size_bytes: the expected size; None for a file of a directory, whose size is not recorded.
        locations: all paths with that content.

    """

    oid: str
    size_bytes: int | None
    locations: list[Location] = field(default_factory=list)

    @property
    def producer(self) -> str | None:
        """A stage that builds it; None for data that was added by hand."""
        return next((location.stage for location in self.locations if location.is_built), None)

    def __str__(self) -> str:
        more = f" and {len(self.locations) - 1} more" if len(self.locations) > 1 else ""
        return f"{self.locations[0].path}{more} of {self.locations[0].stage} ({self.oid})"


def expected_objects(files: Iterable[Output], directories: Iterable[Directory]) -> dict[str, ExpectedObject]:
    """Return the objects of all outputs by hash: files, listings, and the files in the listings."""
    objects: dict[str, ExpectedObject] = {}

    def add(oid: str, size_bytes: int | None, location: Location) -> None:
        objects.setdefault(oid, ExpectedObject(oid, size_bytes)).locations.append(location)

    for file in files:
        add(file.oid, file.size_bytes, file.location)
    for directory in directories:
        location = directory.output.location
        add(directory.output.oid, None if directory.listing is None else len(directory.listing), location)
        for md5, path in directory.files():
            add(md5, None, Location(path, location.stage, location.is_built))
    return objects


def find_local_file(repo: "Repo", md5: str, path: str) -> Path | None:
    """Return a file with that MD5 on this machine: the one at `path`, else the one in DVC's cache, else None."""
    for candidate in (Path(path), Path(repo.cache.local.oid_to_path(md5))):
        if candidate.is_file() and file_has_hash(candidate, md5):
            return candidate
    return None


def file_has_hash(path: Path, oid: str) -> bool:
    """Return whether the bytes of a file have that hash.

    The file is read, unlike in DVC, which relies on modification times and write protection.
    """
    with path.open("rb") as file:
        return has_hash(file, oid)


def has_hash(file: BinaryIO, oid: str) -> bool:
    """Return whether the remaining bytes of an open file have that hash."""
    md5 = hashlib.md5(usedforsecurity=False)
    while chunk := file.read(READ_BYTES):
        md5.update(chunk)
    return md5.hexdigest() == oid.removesuffix(DIRECTORY_SUFFIX)
