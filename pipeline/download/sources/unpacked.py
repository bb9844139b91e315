"""A local folder that holds the members of an archive instead of the archive."""

import fnmatch
import glob
import hashlib
import logging
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

logger = logging.getLogger(__name__)


class UnpackedFolder:
    """The files below `root` that match `asset.unpacked`, in any case. Equal files make an identical archive.

    A file that cannot be packed is left out with a warning, unless `asset.unpacked` names it without a wildcard, as it
    names annotations. The checks of the dataset find what rows lack.
    """

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
            version = (status.st_size, status.st_mtime_ns) if status else "unreadable"
            digest.update(f"{name!r} {version}\n".encode())
        return FileVersion(None, f"members sha256:{digest.hexdigest()}")

    def content_bytes(self) -> int:
        """Return the total size of the members, which is slightly less than that of their archive."""
        return sum(status.st_size for status in map(self._stat_member, self._names()) if status)

    def write_zip(self, target: Path) -> None:
        """Write the members as one archive, ordered by name."""
        names = self._names()
        with ProgressBar(f"packing {self._asset.path}", len(names), "file") as progress:

            def members() -> Iterator[tuple[str, bytes]]:
                for name in names:
                    try:
                        yield name, self._read_member(name)
                    except BoxlineError as error:
                        if name in self._asset.unpacked:
                            raise
                        logger.warning("%s It is left out.", error)
                    progress.update()

            write_archive(target, members())

    def _stat_member(self, name: str) -> os.stat_result | None:
        """The status of a file, or None if it has none; reading it gives the reason."""
        try:
            return (self._root / name).stat()
        except OSError:
            return None

    def _names(self) -> list[str]:
        names: list[str] = list(self._asset.members)
        for pattern in self._asset.unpacked:
            matches = self._matches(pattern)
            if not matches:
                nearest = nearest_name(pattern.partition("/")[0], [path.name for path in self._root.iterdir()])
                raise BoxlineError(
                    f"{self._root} contains neither {self._asset.path} nor its members {pattern}"
                    f"{f'; the nearest name is {nearest!r}' if nearest else ''}. {LAYOUT_ADVICE}"
                )
            names += [Path(name).as_posix() for name in matches]
        return sorted(names)

    def _matches(self, pattern: str) -> list[str]:
        """The names of the files that match the pattern; its last part in any case, such as .JPG.

        As in a shell, names that begin with a dot stay hidden.
        """
        folder_pattern, _, file_pattern = pattern.rpartition("/")
        folders = glob.glob(f"{folder_pattern}/", root_dir=self._root) if folder_pattern else [""]  # noqa: PTH207
        return [
            folder + name
            for folder in folders
            for name in _names_in(self._root / folder)
            if not name.startswith(".") and fnmatch.fnmatchcase(name.lower(), file_pattern.lower())
        ]

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


def _names_in(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except OSError:  # a folder without permission
        return []
