"""A folder that holds the members of an archive in place of the archive."""

import glob
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from pipeline.archives.zip_archive import MAX_IMAGE_BYTES, write_archive
from pipeline.core.errors import BoxlineError
from pipeline.core.progress import bar
from pipeline.download.manifest import Asset
from pipeline.download.sources.base import FileVersion
from pipeline.download.sources.local import LAYOUT_ADVICE


class UnpackedFolder:
    """The files below `root` that match `asset.unpacked`; the same files make the same archive."""

    def __init__(self, root: Path, asset: Asset) -> None:
        self.shown = str(root)
        self._root = root
        self._asset = asset

    def look(self) -> FileVersion:
        """Names, sizes and times of all members; the size of their archive shows when it is made."""
        digest = hashlib.sha256()
        for name in self._names():
            facts = self._facts(name)
            digest.update(f"{name!r} {facts.st_size} {facts.st_mtime_ns}\n".encode())
        return FileVersion(None, f"members sha256:{digest.hexdigest()}")

    def content_bytes(self) -> int:
        """Of all members; their archive has a little more."""
        return sum(self._facts(name).st_size for name in self._names())

    def pack(self, target: Path) -> None:
        """Write the members as one archive, in order of their names."""
        names = self._names()
        with bar(f"packing {self._asset.path}", len(names), "file") as progress:

            def members() -> Iterator[tuple[str, bytes]]:
                for name in names:
                    yield name, self._content(name)
                    progress.update()

            write_archive(target, members())

    def _facts(self, name: str) -> os.stat_result:
        try:
            return (self._root / name).stat()
        except OSError as error:
            raise BoxlineError(f"{self._root / name} could not be read: {error.strerror}.") from None

    def _names(self) -> list[str]:
        names: list[str] = []
        for pattern in self._asset.unpacked:
            # As in a shell, names that begin with a dot stay hidden.
            found = glob.glob(pattern, root_dir=self._root)  # noqa: PTH207
            if not found:
                raise BoxlineError(
                    f"{self._root} holds neither {self._asset.path} nor, unpacked, {pattern}. {LAYOUT_ADVICE}"
                )
            names += [Path(name).as_posix() for name in found]
        return sorted(names)

    def _content(self, name: str) -> bytes:
        """The file's bytes. A link may lead elsewhere below the root, not out of it: nobody gave what lies there."""
        path = self._root / name
        try:
            name.encode()  # an archive's names are UTF-8
            if not path.resolve(strict=True).is_relative_to(self._root.resolve()):
                raise BoxlineError(f"{path} is a link that leads out of {self._root}. Put the file itself there.")
            if not path.is_file():
                raise BoxlineError(f"{path} is not a regular file. Put the file itself there.")
            if path.stat().st_size > MAX_IMAGE_BYTES:
                raise BoxlineError(f"{path} has {path.stat().st_size} bytes, more than {MAX_IMAGE_BYTES} allowed.")
            return path.read_bytes()
        except UnicodeEncodeError:
            raise BoxlineError(f"{str(path)!r} has a name that is not UTF-8. Rename it.") from None
        except (OSError, RuntimeError) as error:  # the second before Python 3.13, for a link that leads to itself
            raise BoxlineError(f"{path} could not be read: {getattr(error, 'strerror', error)}.") from None
