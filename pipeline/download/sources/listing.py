"""The files of a source of own data, which nobody has listed: a folder, an archive, a web address or a bucket."""

import logging
from collections.abc import Callable, Collection, Iterable
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from pipeline.archives.folder_files import list_files, not_found_message
from pipeline.archives.tar_archive import TAR_SUFFIXES, archive_suffix
from pipeline.archives.zip_archive import ARCHIVE_SUFFIX, LOOSE_FILES_COMMENT
from pipeline.core.errors import BoxlineError, join_items
from pipeline.core.file_names import (
    ANNOTATION_SUFFIXES,
    COMMON_MAX_NAME_BYTES,
    IMAGE_SUFFIXES,
    UniqueStems,
    is_record_name,
)
from pipeline.core.redaction import split_address
from pipeline.download.manifest import Asset
from pipeline.download.retry import RetryPolicy, retry
from pipeline.download.sources.base import FileSource, Source
from pipeline.download.sources.converted_tar import ConvertedTar
from pipeline.download.sources.http import HttpSource, file_name
from pipeline.download.sources.local import LocalSource
from pipeline.download.sources.packed_files import PackedFiles
from pipeline.download.sources.packed_objects import PackedObjects
from pipeline.download.sources.resolve import SOURCE_ADVICE, local_path, parse_scheme
from pipeline.download.sources.s3 import list_objects, s3_sources

logger = logging.getLogger(__name__)

LOOSE_KINDS = {"image": "images", "annotation": "annotations"}
"""Loose images and loose annotations have an archive each: corrected annotations do not store the images again."""

KEPT_KINDS = ("zip", "tar", "record")
KEPT_FILES = f"an archive ({ARCHIVE_SUFFIX}, {', '.join(TAR_SUFFIXES)}) or a TFRecord file"

MAX_EXAMPLES = 3


def list_source(address: str, retry_policy: RetryPolicy, excluded: Collection[Path] = ()) -> list[tuple[Asset, Source]]:
    """List the files of a source as assets: zip archives and TFRecord files as they are, others as zip archives.

    Of a folder or a prefix of a bucket, loose images become one archive, loose annotations another one, and each tar
    archive one of its name. Other files are passed over.

    Args:
        address: a folder, a file, or an http(s):// or s3:// URL.
        retry_policy: how long to wait and how often to retry.
        excluded: folders that are no part of a local folder.

    Raises:
        BoxlineError: if there is no such source, or it has no files of these kinds.

    """
    scheme = parse_scheme(address)
    if scheme == "s3":
        return _list_bucket(address, retry_policy)
    if scheme is not None:
        return _list_url(address, retry_policy)
    root = local_path(address)
    if root.is_dir():
        return _list_folder(root, excluded, retry_policy)
    if not root.exists():
        raise BoxlineError(f"{not_found_message(root)} {SOURCE_ADVICE}")
    return [_single_file(root.name, LocalSource(root), root, retry_policy)]


def _list_folder(root: Path, excluded: Collection[Path], retry_policy: RetryPolicy) -> list[tuple[Asset, Source]]:
    return _arrange(
        str(root),
        list_files(root, excluded),
        as_it_is=lambda name: LocalSource(root / name),
        convert=lambda name: ConvertedTar(LocalSource(root / name), root / name, retry_policy),
        pack=lambda names: PackedFiles(root, names, LOOSE_FILES_COMMENT),
    )


def _list_bucket(address: str, retry_policy: RetryPolicy) -> list[tuple[Asset, Source]]:
    prefix, _, name = address.rpartition("/")
    if _kind(name) in KEPT_KINDS and "://" in prefix:
        [source] = s3_sources(prefix, [name], retry_policy, SOURCE_ADVICE)
        return [_single_file(name, source, None, retry_policy)]
    objects = {item.name: item for item in list_objects(address, retry_policy, SOURCE_ADVICE)}
    return _arrange(
        address,
        objects,
        as_it_is=lambda name: objects[name].source,
        convert=lambda name: ConvertedTar(objects[name].source, None, retry_policy),
        pack=lambda names: PackedObjects(address, [objects[name] for name in names], LOOSE_FILES_COMMENT, retry_policy),
    )


def _list_url(url: str, retry_policy: RetryPolicy) -> list[tuple[Asset, Source]]:
    source = HttpSource(url, retry_policy, SOURCE_ADVICE)
    name = file_name(unquote(split_address(url).path))
    if _kind(name) not in KEPT_KINDS:
        published_name, head = retry(source.peek, retry_policy)
        if published_name is not None and _kind(file_name(published_name)) in KEPT_KINDS:
            name = file_name(published_name)
        else:
            name = f"{PurePosixPath(name).stem or 'archive'}{archive_suffix(head) or ''}"
    return [_single_file(name, source, None, retry_policy)]


def _single_file(name: str, source: FileSource, path: Path | None, retry_policy: RetryPolicy) -> tuple[Asset, Source]:
    """The asset of a source that is one file; `path` is its path if it is local."""
    kind = _kind(name)
    if kind == "tar":
        return Asset(f"{_without_tar_suffix(name)}{ARCHIVE_SUFFIX}"), ConvertedTar(source, path, retry_policy)
    if kind in KEPT_KINDS:
        return Asset(name), source
    advice = SOURCE_ADVICE if path is None else "Name the folder that holds the annotations and the images."
    raise BoxlineError(f"{source.display_name} is neither a folder nor {KEPT_FILES}. {advice}")


def _arrange(
    address: str,
    names: Iterable[str],
    *,
    as_it_is: Callable[[str], Source],
    convert: Callable[[str], Source],
    pack: Callable[[list[str]], Source],
) -> list[tuple[Asset, Source]]:
    """The assets of the files below an address, from the sources that the functions make of their names."""
    names_by_kind: dict[str, list[str]] = {}
    for name in names:
        names_by_kind.setdefault(_kind(name), []).append(name)
    files = [(Asset(name), as_it_is(name)) for kind in ("zip", "record") for name in names_by_kind.get(kind, ())]
    paths = _ArchivePaths(names_by_kind.get("zip", ()))
    files += [(Asset(paths.add(_without_tar_suffix(name))), convert(name)) for name in names_by_kind.get("tar", ())]
    for kind, stem in LOOSE_KINDS.items():
        if kind in names_by_kind:
            files.append((Asset(paths.add(stem)), pack(names_by_kind[kind])))
    others = names_by_kind.get("other", [])
    if not files:
        found = "files"
        if others:
            listed = join_items(map(repr, sorted(others)), MAX_EXAMPLES)
            found = f"images, annotations, archives or TFRecord files, only {len(others)} other: {listed}"
        raise BoxlineError(f"{address} has no {found}. {SOURCE_ADVICE}")
    if others:
        logger.info(
            "%s: passed over %d files that are no images, annotations or archives: %s",
            address,
            len(others),
            join_items(map(repr, sorted(others)), MAX_EXAMPLES),
        )
    return files


class _ArchivePaths:
    """Hands out the paths of archives that are made, none of which is that of another archive."""

    def __init__(self, zips: Iterable[str]) -> None:
        self._stems: dict[str, UniqueStems] = {}
        for name in zips:
            self.add(name[: -len(ARCHIVE_SUFFIX)])

    def add(self, path_without_suffix: str) -> str:
        folder, slash, stem = path_without_suffix.rpartition("/")
        stems = self._stems.setdefault(folder, UniqueStems(COMMON_MAX_NAME_BYTES - len(ARCHIVE_SUFFIX)))
        return f"{folder}{slash}{stems.add(stem)}{ARCHIVE_SUFFIX}"


def _kind(name: str) -> str:
    """What becomes of a file, by its name."""
    lower = name.lower()
    if lower.endswith(IMAGE_SUFFIXES):
        return "image"
    if lower.endswith(ARCHIVE_SUFFIX):
        return "zip"
    if lower.endswith(TAR_SUFFIXES):
        return "tar"
    if is_record_name(name):
        return "record"
    return "annotation" if lower.endswith(ANNOTATION_SUFFIXES) else "other"


def _without_tar_suffix(name: str) -> str:
    suffix = max((suffix for suffix in TAR_SUFFIXES if name.lower().endswith(suffix)), key=len)
    return name[: -len(suffix)]
