"""The manifest of a dataset or model: which files its publisher offers."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Asset:
    """One published file.

    Attributes:
        path: the path below the base URL of the source, and below the download folder.
        size_bytes: the size that the publisher states, if any.
        checksum: the checksum that the publisher states, as "md5:..." or "sha256:...", if any.
        unpacked: the members of an archive as shell patterns. A folder that holds these files can replace the archive.

    """

    path: str
    size_bytes: int | None = None
    checksum: str | None = None
    unpacked: tuple[str, ...] = ()
