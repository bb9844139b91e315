"""Audit of the DVC remote: whether it has every object that dvc.lock refers to.

The audit requests the objects from the remote itself. DVC caches what it believes to be there, so `dvc push` and
`dvc status --cloud` report success although the remote has lost objects, or never received some that were missing in
the cache, too.
"""

import contextlib
import errno
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.core.dvc_project import open_project, require_lock
from pipeline.core.errors import BoxlineError, NetworkError
from pipeline.core.redaction import redact_message, redact_url
from pipeline.core.thread_pool import map_threaded
from pipeline.remote.objects import Directory, ExpectedObject, Location, Output, expected_objects, has_hash

if TYPE_CHECKING:
    from dvc.repo import Repo

PERMANENT_ERRORS = {
    *("PermissionError", "NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "HostKeyNotVerifiable"),
    *("FileNotFoundError", "ValueError", "ImportError"),
}
"""Names of exceptions that a retry does not help. Names, since each kind of remote has its own classes."""

PERMANENT_ERRNOS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class MissingObject:
    """An object that the remote does not have, or has with another size or content, and the reason in words."""

    expected: ExpectedObject
    reason: str


@dataclass(frozen=True)
class RemoteAudit:
    """The result of an audit.

    Attributes:
        objects: every expected object by hash.
        stored_bytes: total size of those that are in the remote.
        missing: those that are missing or corrupt there.

    """

    objects: dict[str, ExpectedObject]
    stored_bytes: int
    missing: list[MissingObject]


class RemoteStore:
    """A DVC remote of a project, together with the project's cache.

    Its methods raise a BoxlineError if the remote cannot be used, and a NetworkError if a retry may help.
    """

    def __init__(self, repo: "Repo", name: str | None) -> None:
        remote = repo.cloud.get_remote(name)
        self.name: str = remote.name
        self.address = redact_url(remote.fs.unstrip_protocol(remote.path))
        self._repo = repo
        self._path = remote.path
        self._objects = repo.cloud.get_remote_odb(remote.name, "verify")
        self._cache = repo.cache.local

    def __str__(self) -> str:
        return f"remote {self.name!r} ({self.address})"

    def audit(self) -> RemoteAudit:
        """Request every object's size from the remote and compare it with the recorded one.

        The sizes of files in directories are not recorded. If they do not add up to the directory's size, the files
        are read and hashed.
        """
        self._require_remote()
        files, directories = self._outputs()
        objects = expected_objects(files, directories)
        sizes = dict(zip(objects, self._map_requests(self._size, list(objects)), strict=True))
        unlisted = {directory.output.oid for directory in directories if directory.listing is None}
        suspects = sorted(
            {md5 for directory in directories if _has_other_size(directory, sizes) for md5, _ in directory.files()}
        )
        are_intact = self._map_requests(self._has_hash, suspects)
        corrupt = {oid for oid, is_intact in zip(suspects, are_intact, strict=True) if not is_intact}
        missing = []
        for oid, expected in objects.items():
            reason = _reason(expected, sizes[oid], is_unlisted=oid in unlisted, is_corrupt=oid in corrupt)
            if reason:
                missing.append(MissingObject(expected, reason))
        return RemoteAudit(objects, sum(size for size in sizes.values() if size is not None), missing)

    def cache_path(self, oid: str) -> Path:
        """Return the path of an object in the cache, whether or not it is there."""
        return Path(self._cache.oid_to_path(oid))

    def upload(self, path: Path, oid: str) -> None:
        """Upload a file as an object. The caller must have verified its hash."""
        target = self._objects.oid_to_path(oid)
        with self._convert_errors():
            self._objects.fs.put_file(str(path), target)
            self._objects.protect(target)

    def upload_listing(self, folder: Path, oid: str) -> bool:
        """Recreate the listing of a directory from a folder and upload it.

        Returns:
            Whether it was uploaded. False if the folder does not exist or its listing has another hash.

        """
        from dvc.fs import localfs
        from dvc_data.hashfile.build import build
        from dvc_data.hashfile.tree import Tree

        if not folder.is_dir():
            return False
        _, _, tree = build(
            self._cache, str(folder.resolve()), localfs, "md5", dry_run=True, ignore=self._repo.dvcignore
        )
        if not isinstance(tree, Tree) or tree.oid != oid:
            return False
        with self._convert_errors():
            self._objects.add_bytes(oid, tree.as_bytes())
        return True

    def first_in_order(self, stages: set[str | None]) -> str:
        """Return the one of several stages that DVC would run first, which depends on none of the others."""
        from dvc.repo.reproduce import plan_repro

        plan = plan_repro(self._repo.index.graph)
        return next(stage.addressing for stage in plan if stage.addressing in stages)

    def missing_dependencies(self, stage: str) -> list[str]:
        """Return the paths of a stage's dependencies that are not in the workspace."""
        [found] = self._repo.stage.collect(stage)
        return [self._repo.fs.relpath(dep.fs_path, self._repo.root_dir) for dep in found.deps if not dep.exists]

    def map_parallel(self, function: Callable[[Item], Result], items: list[Item]) -> list[Result]:
        """Apply a function to items in as many threads as the remote's option `jobs` allows; keep their order."""

        def apply(item: Item, _: Event) -> Result:
            return function(item)

        return map_threaded(apply, items, self._objects.fs.jobs)

    def _map_requests(self, function: Callable[[Item], Result], items: list[Item]) -> list[Result]:
        with self._convert_errors():
            return self.map_parallel(function, items) if items else []

    def _outputs(self) -> tuple[list[Output], list[Directory]]:
        """Return the outputs that `dvc push` uploads, split into files and directories."""
        files: list[Output] = []
        directories: list[Output] = []
        for out in self._repo.index.outs:
            if out.use_cache and out.can_push and out.hash_info and not out.stage.is_repo_import:
                path = self._repo.fs.relpath(out.fs_path, self._repo.root_dir)
                location = Location(path, out.stage.addressing, bool(out.stage.cmd))
                output = Output(location, out.hash_info.value, out.meta.size)
                (directories if out.hash_info.isdir else files).append(output)
        listings = self._map_requests(self._listing, [output.oid for output in directories])
        return files, [Directory(output, listing) for output, listing in zip(directories, listings, strict=True)]

    def _listing(self, oid: str) -> bytes | None:
        """Return the listing of a directory from the cache, else from the remote, else None."""
        with contextlib.suppress(FileNotFoundError):
            content = self.cache_path(oid).read_bytes()
            if has_hash(io.BytesIO(content), oid):
                return content
        with contextlib.suppress(FileNotFoundError), self._open(oid) as file:
            content = file.read()
            if has_hash(io.BytesIO(content), oid):
                return content
        return None

    def _size(self, oid: str) -> int | None:
        try:
            size: int = self._objects.fs.info(self._objects.oid_to_path(oid))["size"]
        except FileNotFoundError:
            return None
        return size

    def _has_hash(self, oid: str) -> bool:
        with self._open(oid) as file:
            return has_hash(file, oid)

    def _open(self, oid: str) -> Any:
        return self._objects.fs.open(self._objects.oid_to_path(oid), "rb")

    def _require_remote(self) -> None:
        """Distinguish a missing bucket or an unmounted disk from a remote that lost all its objects."""
        files = self._objects.fs
        with self._convert_errors():
            files.fs.invalidate_cache()  # listings that this process has seen before may be outdated
            try:
                files.ls(self._path, detail=False)
            except FileNotFoundError as error:
                raise BoxlineError(
                    f"The {self} does not exist, or nothing was ever pushed to it ({redact_message(error)}). Check "
                    "`dvc remote list`, mount the disk or create the bucket; then run `dvc push`."
                ) from None

    @contextlib.contextmanager
    def _convert_errors(self) -> Iterator[None]:
        """Raise a BoxlineError for any error of the remote's client, and a NetworkError for a transient one."""
        try:
            yield
        except BoxlineError:
            raise
        except Exception as error:  # each kind of remote has its own classes
            raise (NetworkError if _is_transient(error) else BoxlineError)(
                f"The {self} cannot be used ({type(error).__name__}: {redact_message(error).rstrip('.')}). Check its "
                "address with `dvc remote list`, that its server runs, and the credentials; then run it again."
            ) from error


@contextlib.contextmanager
def open_store(remote: str | None) -> Iterator[RemoteStore]:
    """Open a remote of the project in the current folder.

    Args:
        remote: its name in `dvc remote list`; the default remote if None.

    Raises:
        BoxlineError: if there is no project, no dvc.lock or no such remote.

    """
    # Imported here because DVC takes a while to import, and the command's --help does not need it.
    from dvc.config import NoRemoteError, RemoteNotFoundError
    from dvc.exceptions import DvcException

    with open_project() as repo:
        require_lock()
        try:
            store = RemoteStore(repo, remote)
        except NoRemoteError:
            raise BoxlineError(
                "There is no default remote. Choose a remote with --remote, or add a default one: dvc remote add "
                "--default NAME ADDRESS"
            ) from None
        except RemoteNotFoundError:
            raise BoxlineError(
                f"There is no remote {remote!r}. Expected one that `dvc remote list` shows; correct --remote."
            ) from None
        except (DvcException, ImportError) as error:  # ImportError: the package for this kind of remote is missing
            raise BoxlineError(
                f"DVC cannot use the remote: {redact_message(error).rstrip('.')}. See `dvc remote list`."
            ) from None
        yield store


def _is_transient(error: Exception) -> bool:
    """Return whether a retry may help."""
    names = {cls.__name__ for cls in type(error).__mro__}
    return not names & PERMANENT_ERRORS and getattr(error, "errno", None) not in PERMANENT_ERRNOS


def _has_other_size(directory: Directory, sizes: dict[str, int | None]) -> bool:
    """Return whether all files of a directory are in the remote and their sizes do not add up to the recorded one."""
    file_sizes = [sizes[md5] for md5, _ in directory.files()]
    known = [size for size in file_sizes if size is not None]
    expected = directory.output.size_bytes
    return bool(known) and len(known) == len(file_sizes) and expected is not None and sum(known) != expected


def _reason(expected: ExpectedObject, size: int | None, *, is_unlisted: bool, is_corrupt: bool) -> str | None:
    """Return what is wrong with an object that has that size in the remote, or None if it is intact."""
    if size is None:
        return f"missing{', and so is the list of its files' if is_unlisted else ''}"
    if expected.size_bytes is not None and size != expected.size_bytes:
        return f"has {size:,} bytes instead of {expected.size_bytes:,}"
    return "has different content" if is_corrupt or is_unlisted else None
