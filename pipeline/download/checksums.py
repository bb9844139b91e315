"""MD5, because publishers name it, and SHA-256, because it can be trusted: both in one pass."""

import hashlib
from pathlib import Path

from pipeline.core.progress import byte_bar

READ_BYTES = 1 << 20


class Digests:
    """Digests of the bytes so far, in hexadecimal digits."""

    def __init__(self) -> None:
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha256 = hashlib.sha256()

    @classmethod
    def of_file(cls, path: Path) -> "Digests":
        """Of all bytes of a file, read in pieces."""
        digests = cls()
        with path.open("rb") as file, byte_bar(f"checking {path.name}", path.stat().st_size) as progress:
            while chunk := file.read(READ_BYTES):
                digests.update(chunk)
                progress.update(len(chunk))
        return digests

    def update(self, content: bytes | memoryview) -> None:
        """Add bytes."""
        self._md5.update(content)
        self._sha256.update(content)

    def get(self, name: str) -> str:
        """The digest "md5" or "sha256"."""
        return {"md5": self._md5, "sha256": self._sha256}[name].hexdigest()
