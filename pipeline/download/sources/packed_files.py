"""Files of a local folder that are packed into one archive."""

import hashlib
import os
import stat
import threading
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from pathlib import Path

from pipeline.archives.left_out import LeftOutFiles
from pipeline.archives.zip_archive import MAX_IMAGE_BYTES, MAX_MEMBER_BYTES, write_archive
from pipeline.core.errors import BoxlineError
from pipeline.core.file_names import IMAGE_SUFFIXES
from pipeline.core.progress import ProgressBar
from pipeline.core.thread_pool import CancelledError
from pipeline.download.sources.base import FileVersion, PackedSource


class PackedFiles(PackedSource):
    """Files below a folder, packed in the order of their names.

    A file that cannot be packed is left out with a warning, unless it is required. The checks of the dataset find what
    rows lack.
    """

    def __init__(self, root: Path, names: Sequence[str], comment: bytes = b"", required: Collection[str] = ()) -> None:
        """Prepare to pack.

        Args:
            root: the folder.
            names: the paths of the files in it, with slashes.
            comment: the comment of the archive.
            required: those of `names` without which the archive is of no use.

        """
        self.display_name = str(root)
        self._root = root
        self._names = sorted(names)
        self._comment = comment
        self._required = frozenset(required)
        self._inner_folders: set[Path] = set()

    def stat(self) -> FileVersion:
        """Return the version, with a digest of all names, sizes and times as validator.

        The files are looked at once per object: if one changes later, the next run packs it again.
        """
        return FileVersion(None, f"members sha256:{self._digest_and_bytes[0]}")

    def content_bytes(self) -> int:
        """Return the total size of the members, which is slightly less than that of their archive."""
        return self._digest_and_bytes[1]

    def write_zip(self, target: Path, scratch: Path, stop: threading.Event) -> None:
        """Write the members as one archive, ordered by name. Needs no `scratch`."""
        with (
            ProgressBar(f"packing {target.name}", len(self._names), "file") as progress,
            LeftOutFiles(self.display_name) as left_out,
        ):

            def members() -> Iterator[tuple[str, bytes]]:
                for name in self._names:
                    if stop.is_set():
                        raise CancelledError
                    try:
                        yield name, self._read(name)
                    except BoxlineError as error:
                        if name in self._required:
                            raise
                        left_out.add(str(error))
                    progress.update()

            write_archive(target, members(), self._comment)

    @cached_property
    def _digest_and_bytes(self) -> tuple[str, int]:
        """The digest of all names, sizes and times, and the total of the sizes."""
        digest, content_bytes = hashlib.sha256(), 0
        for name in self._names:
            version: tuple[int, int] | str = "unreadable"
            try:
                status = (self._root / name).stat()
                if os.access(self._root / name, os.R_OK):
                    version = (status.st_size, status.st_mtime_ns)
                    content_bytes += status.st_size
            except OSError:  # reading it gives the reason
                pass
            digest.update(f"{name!r} {version}\n".encode())
        return digest.hexdigest(), content_bytes

    def _read(self, name: str) -> bytes:
        """Read a file. A link may point elsewhere below the root, but not out of it, to files that nobody provided."""
        path = self._root / name
        max_bytes = MAX_IMAGE_BYTES if name.lower().endswith(IMAGE_SUFFIXES) else MAX_MEMBER_BYTES
        try:
            name.encode()  # names in an archive are UTF-8
            if not self._is_inside(path):
                raise BoxlineError(f"{path} is a link that leads out of {self._root}. Replace it with the file itself.")
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):
                raise BoxlineError(f"{path} is not a regular file. Replace it with the file itself.")
            if status.st_size > max_bytes:
                raise BoxlineError(f"{path} has {status.st_size} bytes, more than {max_bytes} allowed.")
            return path.read_bytes()
        except UnicodeEncodeError:
            raise BoxlineError(f"{str(path)!r} has a name that is not UTF-8. Rename it.") from None
        except (OSError, RuntimeError) as error:  # RuntimeError before Python 3.13, for a link to itself
            raise BoxlineError(f"{path} could not be read: {getattr(error, 'strerror', error)}.") from None

    def _is_inside(self, path: Path) -> bool:
        """Whether a file is below the root, apart from links. Each folder is looked at once."""
        is_link = path.is_symlink()
        if path.parent in self._inner_folders and not is_link:
            return True
        is_inside = path.resolve(strict=True).is_relative_to(self._root.resolve())
        if is_inside and not is_link:
            self._inner_folders.add(path.parent)
        return is_inside
