"""The archives of a download folder: zip archives, and TFRecord files with images."""

from pathlib import Path

from pipeline.archives.tfrecord_archive import TfRecordArchive
from pipeline.archives.zip_archive import Archive, is_archive_name
from pipeline.core.file_names import is_record_name


class ArchiveFolder:
    """The archives below a download folder. What is in each of them is read once, when it is first used."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._archives: dict[str, Archive | TfRecordArchive] = {}

    def __getitem__(self, path: str) -> Archive | TfRecordArchive:
        if path not in self._archives:
            kind = TfRecordArchive if is_record_name(path) else Archive
            self._archives[path] = kind(self._folder / path)
        return self._archives[path]

    def paths(self) -> list[str]:
        """Return the paths of all archives below the folder, in alphabetical order."""
        paths = [path.relative_to(self._folder).as_posix() for path in self._folder.rglob("*")]
        return sorted(path for path in paths if is_archive_name(path) or is_record_name(path))
