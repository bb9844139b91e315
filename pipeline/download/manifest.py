"""What a publisher's files are."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Asset:
    """One published file: its path below the source's root, and where the publisher tells them, size and digest.

    `digest` is written "md5:..." or "sha256:...". `unpacked` are the members of an archive as shell patterns: a folder
    that holds them in place of the archive is as good.
    """

    path: str
    size_bytes: int | None = None
    digest: str | None = None
    unpacked: tuple[str, ...] = ()
