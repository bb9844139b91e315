"""MD5 and SHA-256 in one pass: publishers state MD5 sums, and SHA-256 resists deliberate collisions."""

import hashlib
from pathlib import Path

from pipeline.core.progress import byte_bar

READ_BYTES = 1 << 20


class Checksums:
    """MD5 and SHA-256 of the bytes added so far."""

    def __init__(self) -> None:
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha256 = hashlib.sha256()

    @classmethod
    def of_file(cls, path: Path) -> "Checksums":
        """Compute the checksums of a file, reading it in chunks."""
        checksums = cls()
        with path.open("rb") as file, byte_bar(f"checking {path.name}", path.stat().st_size) as progress:
            while chunk := file.read(READ_BYTES):
                checksums.update(chunk)
                progress.update(len(chunk))
        return checksums

    def update(self, content: bytes | memoryview) -> None:
        """Add bytes."""
        self._md5.update(content)
        self._sha256.update(content)

    def hexdigest(self, algorithm: str) -> str:
        """Return the hexadecimal digest of "md5" or "sha256"."""
        return {"md5": self._md5, "sha256": self._sha256}[algorithm].hexdigest()
