"""A local folder that holds the members of an archive instead of the archive."""

import glob
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from pipeline.archives.member_lookup import nearest_name
from pipeline.archives.zip_archive import MAX_IMAGE_BYTES, write_archive
from pipeline.core.errors import BoxlineError
from pipeline.core.progress import ProgressBar
from pipeline.download.manifest import Asset
from pipeline.download.sources.base import FileVersion
from pipeline.download.sources.local import LAYOUT_ADVICE


class UnpackedFolder:
    """The files below `root` that match `asset.unpacked`. Equal files make an identical archive."""

    def __init__(self, root: Path, asset: Asset) -> None:
        self.display_name = str(root)
        self._root = root
        self._asset = asset

    def stat(self) -> FileVersion:
        """Return the version, with a digest of all names, sizes and times as validator.

        The size of the archive is unknown until it is written.
        """
        digest = hashlib.sha256()
        for name in self._names():
            status = self._stat_member(name)
            digest.update(f"{name!r} {status.st_size} {status.st_mtime_ns}\n".encode())
        return FileVersion(None, f"members sha256:{digest.hexdigest()}")

    def content_bytes(self) -> int:
        """Return the total size of the members, which is slightly less than that of their archive."""
        return sum(self._stat_member(name).st_size for name in self._names())

    def write_zip(self, target: Path) -> None:
        """Write the members as one archive, ordered by name."""
        names = self._names()
        with ProgressBar(f"packing {self._asset.path}", len(names), "file") as progress:

            def members() -> Iterator[tuple[str, bytes]]:
                for name in names:
                    yield name, self._read_member(name)
                    progress.update()

            write_archive(target, members())

    def _stat_member(self, name: str) -> os.stat_result:
        try:
            return (self._root / name).stat()
        except OSError as error:
            raise BoxlineError(f"{self._root / name} could not be read: {error.strerror}.") from None

    def _names(self) -> list[str]:
        names: list[str] = []
        for pattern in self._asset.unpacked:
            # As in a shell, names that begin with a dot stay hidden.
            matches = glob.glob(pattern, root_dir=self._root)  # noqa: PTH207
            if not matches:
                nearest = nearest_name(pattern.partition("/")[0], [path.name for path in self._root.iterdir()])
                raise BoxlineError(
                    f"{self._root} contains neither {self._asset.path} nor its members {pattern}"
                    f"{f'; the nearest name is {nearest!r}' if nearest else ''}. {LAYOUT_ADVICE}"
                )
            names += [Path(name).as_posix() for name in matches]
        return sorted(names)

    def _read_member(self, name: str) -> bytes:
        """Read a file. A link may point elsewhere below the root, but not out of it, to files that nobody provided."""
        path = self._root / name
        try:
            name.encode()  # names in an archive are UTF-8
            if not path.resolve(strict=True).is_relative_to(self._root.resolve()):
                raise BoxlineError(f"{path} is a link that leads out of {self._root}. Replace it with the file itself.")
            if not path.is_file():
                raise BoxlineError(f"{path} is not a regular file. Replace it with the file itself.")
            if path.stat().st_size > MAX_IMAGE_BYTES:
                raise BoxlineError(f"{path} has {path.stat().st_size} bytes, more than {MAX_IMAGE_BYTES} allowed.")
            return path.read_bytes()
        except UnicodeEncodeError:
            raise BoxlineError(f"{str(path)!r} has a name that is not UTF-8. Rename it.") from None
        except (OSError, RuntimeError) as error:  # RuntimeError before Python 3.13, for a link to itself
            raise BoxlineError(f"{path} could not be read: {getattr(error, 'strerror', error)}.") from None
