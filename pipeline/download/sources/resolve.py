"""From the `source` of params.yaml to the sources of a dataset's or model's files."""

import itertools
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote, urlunsplit

from pipeline.archives.member_lookup import NameLookup, NameLookupError
from pipeline.core.errors import BoxlineError
from pipeline.core.redaction import redact_url, split_address
from pipeline.download.manifest import Asset
from pipeline.download.retry import RetryPolicy
from pipeline.download.sources.base import Source
from pipeline.download.sources.http import HttpSource
from pipeline.download.sources.local import LocalSource
from pipeline.download.sources.s3 import s3_sources
from pipeline.download.sources.unpacked import pack_unpacked

logger = logging.getLogger(__name__)

SCHEMES = ("http", "https", "s3")
SEARCHED_LEVELS = 3
SEARCHED_ENTRIES = 10_000
"""How far a folder is searched for a file that is not where the upstream has it."""

SOURCE_ADVICE = "Check the address in `source` of params.yaml."


def resolve_sources(base_url: str, assets: Sequence[Asset], retry_policy: RetryPolicy) -> list[Source]:
    """Return the source of each asset.

    Args:
        base_url: a folder, or an http(s):// or s3:// URL, that has the layout of the upstream. The query of a URL, such
            as the signature of a cloud container, is sent with every request.
        assets: the files.
        retry_policy: its timeouts are those of the connections.

    Raises:
        BoxlineError: for any other kind of address.

    """
    scheme = parse_scheme(base_url)
    if scheme is None:
        folder = local_path(base_url)
        return [_source_in_folder(folder, asset) for asset in assets]
    if scheme == "s3":
        return [*s3_sources(base_url, [asset.path for asset in assets], retry_policy, SOURCE_ADVICE)]
    return [HttpSource(join_url(base_url, asset.path), retry_policy, SOURCE_ADVICE) for asset in assets]


def parse_scheme(address: str) -> str | None:
    """Return http, https or s3, or None for a local path.

    Raises:
        BoxlineError: for any other kind of address.

    """
    if "://" not in address:
        return None
    scheme = address.partition("://")[0].lower()
    if scheme not in SCHEMES:
        raise BoxlineError(
            f"{redact_url(address)} cannot be read: "
            "`source` in params.yaml must be a folder, or an http(s):// or s3:// URL."
        )
    return scheme


def local_path(source: str) -> Path:
    """Return a local path, with the home folder of its user in place of `~`.

    Raises:
        BoxlineError: if the user is unknown.

    """
    try:
        return Path(source).expanduser()
    except RuntimeError:
        raise BoxlineError(
            f"{source} starts with a user name that is unknown on this machine. {SOURCE_ADVICE}"
        ) from None


def join_url(base_url: str, path: str) -> str:
    """The URL of a file below `base_url`, which keeps its query.

    >>> join_url("https://host/presets/small/?token=a", "task.json")
    'https://host/presets/small/task.json?token=a'
    """
    parts = split_address(base_url)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{quote(path)}", fragment=""))


def _source_in_folder(folder: Path, asset: Asset) -> Source:
    path = folder / asset.path
    if path.exists() or not folder.is_dir():
        return LocalSource(path)
    try:
        found = NameLookup(_files_below(folder, path.suffix)).find(asset.path)
    except NameLookupError as error:
        return pack_unpacked(folder, asset) if asset.unpacked else LocalSource(path, error.hint)
    logger.info("%s not found; %s is read in its place", path, folder / found)
    return LocalSource(folder / found)


def _files_below(folder: Path, suffix: str) -> list[str]:
    """The files with that suffix, ignoring its case, by their paths in the folder.

    Folders are searched level by level, down to SEARCHED_LEVELS, until SEARCHED_ENTRIES files and folders were seen: a
    folder of images must not be listed on the way.
    """
    files: list[str] = []
    level, num_seen = [folder], 0
    for _ in range(SEARCHED_LEVELS):
        folders = []
        for directory in level:
            for entry in _entries(directory, SEARCHED_ENTRIES - num_seen):
                num_seen += 1
                if entry.is_dir(follow_symlinks=False):
                    folders.append(Path(entry.path))
                elif entry.name.lower().endswith(suffix.lower()):
                    files.append(Path(entry.path).relative_to(folder).as_posix())
        level = folders
    return files


def _entries(directory: Path, limit: int) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            return list(itertools.islice(entries, limit))
    except OSError:  # a folder without permission
        return []
