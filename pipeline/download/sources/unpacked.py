"""A local folder that holds the members of an archive instead of the archive."""

import fnmatch
import glob
from pathlib import Path

from pipeline.archives.member_lookup import nearest_name
from pipeline.core.errors import BoxlineError
from pipeline.download.manifest import Asset
from pipeline.download.sources.local import LAYOUT_ADVICE
from pipeline.download.sources.packed_files import PackedFiles


def pack_unpacked(root: Path, asset: Asset) -> PackedFiles:
    """Return the archive of the files below `root` that match `asset.unpacked`, in any case.

    Files that `asset.unpacked` names without a wildcard, as it names annotations, are required.

    Raises:
        BoxlineError: if no file matches one of the patterns.

    """
    names: list[str] = []
    for pattern in asset.unpacked:
        matches = _matches(root, pattern)
        if not matches:
            nearest = nearest_name(pattern.partition("/")[0], [path.name for path in root.iterdir()])
            raise BoxlineError(
                f"{root} contains neither {asset.path} nor its members {pattern}"
                f"{f'; the nearest name is {nearest!r}' if nearest else ''}. {LAYOUT_ADVICE}"
            )
        names += [Path(name).as_posix() for name in matches]
    return PackedFiles(root, names, required=asset.unpacked)


def _matches(root: Path, pattern: str) -> list[str]:
    """The names of the files that match the pattern; its last part in any case, such as .JPG.

    As in a shell, names that begin with a dot stay hidden.
    """
    folder_pattern, _, file_pattern = pattern.rpartition("/")
    folders = glob.glob(f"{folder_pattern}/", root_dir=root) if folder_pattern else [""]  # noqa: PTH207
    return [
        folder + name
        for folder in folders
        for name in _names_in(root / folder)
        if not name.startswith(".") and fnmatch.fnmatchcase(name.lower(), file_pattern.lower())
    ]


def _names_in(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except OSError:  # a folder without permission
        return []
