"""What dvc.lock names, and how much of it the remote really has: the remote itself is asked.

DVC remembers what it believes to be in a remote, so that `dvc push` and `dvc status --cloud` call complete what has
lost objects since, and what was never pushed because the cache had lost it too.
"""

import contextlib
import errno
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from pipeline.core.dvc_lock import LOCK
from pipeline.core.errors import BoxlineError, NetworkError
from pipeline.core.redaction import redact_message, redact_url
from pipeline.core.thread_pool import map_threaded
from pipeline.download.checksums import READ_BYTES

if TYPE_CHECKING:
    from dvc.repo import Repo

FOLDER = ".dir"
"""Ends the hash of a folder: of the list of its files, which is an object as they are."""

PERMANENT_ERRORS = {
    *("PermissionError", "NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "HostKeyNotVerifiable"),
    *("FileNotFoundError", "ValueError", "ImportError"),
}
"""Errors that asking again does not change, by name, since each kind of remote has its own. All others may pass."""

FULL_OR_FIXED = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Place:
    """Where content belongs in the workspace, and the stage that makes it. Without `has_command` nothing makes it."""

    path: str
    stage: str
    has_command: bool


@dataclass
class ExpectedObject:
    """One object that dvc.lock names, with all its places. The size of a file in a folder is not recorded: None."""

    oid: str
    size_bytes: int | None
    places: list[Place] = field(default_factory=list)

    @property
    def maker(self) -> str | None:
        """A stage that makes it; None for what somebody put there."""
        return next((place.stage for place in self.places if place.has_command), None)

    def shown(self) -> str:
        """For messages: path, stage and hash."""
        more = f" and {len(self.places) - 1} more" if len(self.places) > 1 else ""
        return f"{self.places[0].path}{more} of {self.places[0].stage} ({self.oid})"


@dataclass(frozen=True)
class MissingObject:
    """An object that the remote does not have as it should be."""

    wanted: ExpectedObject
    reason: str


@dataclass(frozen=True)
class RemoteAudit:
    """All objects that dvc.lock names, by hash, the bytes of those that are in the remote, and what is wrong."""

    objects: dict[str, ExpectedObject]
    stored_bytes: int
    faults: list[MissingObject]


@dataclass(frozen=True)
class _Folder:
    """An output that is a folder: the hashes and paths of its files, or None where no list of them was found."""

    place: Place
    oid: str
    size_bytes: int | None
    content: bytes | None

    def files(self) -> list[tuple[str, str]]:
        if self.content is None:
            return []
        return [(entry["md5"], f"{self.place.path}/{entry['relpath']}") for entry in json.loads(self.content)]


class Store:
    """The remote and the cache of the workspace's DVC project. Raises BoxlineError where the remote does not answer."""

    def __init__(self, repo: "Repo", remote: str | None) -> None:
        found = repo.cloud.get_remote(remote)
        self.name: str = found.name
        self.address = redact_url(found.fs.unstrip_protocol(found.path))
        self._repo = repo
        self._path = found.path
        self._objects = repo.cloud.get_remote_odb(found.name, "verify")
        self._cache = repo.cache.local

    def shown(self) -> str:
        """For messages."""
        return f"remote {self.name!r} ({self.address})"

    def survey(self) -> RemoteAudit:
        """Ask the remote for every object of dvc.lock: whether it is there, and whether its size fits.

        Where the sizes of a folder's files do not add up to the folder's, their bytes are read and compared.
        """
        self._require_remote()
        files, folders = self._outputs()
        objects = _objects(files, folders)
        sizes = dict(zip(objects, self._map_threaded(self._size, list(objects)), strict=True))
        unlisted = {folder.oid for folder in folders if folder.content is None}
        suspects = sorted({md5 for folder in folders if _contradicts(folder, sizes) for md5, _ in folder.files()})
        are_good = self._map_threaded(self._has_content, suspects)
        changed = {oid for oid, is_good in zip(suspects, are_good, strict=True) if not is_good}
        faults = []
        for oid, wanted in objects.items():
            reason = _reason(wanted, sizes[oid], is_unlisted=oid in unlisted, is_changed=oid in changed)
            if reason:
                faults.append(MissingObject(wanted, reason))
        return RemoteAudit(objects, sum(size for size in sizes.values() if size is not None), faults)

    def cached(self, oid: str) -> Path:
        """Where the cache keeps an object, if it has it."""
        return Path(self._cache.oid_to_path(oid))

    def upload(self, path: Path, oid: str) -> None:
        """Store a file, whose content the caller has compared with the hash, under that hash."""
        target = self._objects.oid_to_path(oid)
        with self._told():
            self._objects.fs.put_file(str(path), target)
            self._objects.protect(target)

    def upload_list(self, path: Path, oid: str) -> bool:
        """Store the list of a folder's files, made anew from the folder; False where the folder is not that one."""
        from dvc.fs import localfs
        from dvc_data.hashfile.build import build
        from dvc_data.hashfile.tree import Tree

        if not path.is_dir():
            return False
        _, _, tree = build(self._cache, str(path.resolve()), localfs, "md5", dry_run=True, ignore=self._repo.dvcignore)
        if not isinstance(tree, Tree) or tree.oid != oid:
            return False
        with self._told():
            self._objects.add_bytes(oid, tree.as_bytes())
        return True

    def first_of(self, stages: set[str | None]) -> str:
        """One of the stages that reads nothing which another one of them makes."""
        from dvc.repo.reproduce import plan_repro

        ordered = plan_repro(self._repo.index.graph)
        return next(stage.addressing for stage in ordered if stage.addressing in stages)

    def lacking(self, stage: str) -> list[str]:
        """What the stage reads and the workspace does not have."""
        [found] = self._repo.stage.collect(stage)
        return [self._repo.fs.relpath(dep.fs_path, self._repo.root_dir) for dep in found.deps if not dep.exists]

    def parallel(self, function: Callable[[Item], Result], items: list[Item]) -> list[Result]:
        """Of each item, as many at once as the remote's setting `jobs` allows."""

        def step(item: Item, _: Event) -> Result:
            return function(item)

        return map_threaded(step, items, self._objects.fs.jobs)

    def _map_threaded(self, function: Callable[[Item], Result], items: list[Item]) -> list[Result]:
        with self._told():
            return self.parallel(function, items) if items else []

    def _outputs(self) -> tuple[list[tuple[Place, str, int | None]], list[_Folder]]:
        files: list[tuple[Place, str, int | None]] = []
        folders: list[tuple[Place, str, int | None]] = []
        for out in self._repo.index.outs:
            if out.use_cache and out.can_push and out.hash_info and not out.stage.is_repo_import:
                path = self._repo.fs.relpath(out.fs_path, self._repo.root_dir)
                place = Place(path, out.stage.addressing, bool(out.stage.cmd))
                one = (place, out.hash_info.value, out.meta.size)
                (folders if out.hash_info.isdir else files).append(one)
        contents = self._map_threaded(self._list, [oid for _, oid, _ in folders])
        return files, [
            _Folder(place, oid, size, content) for (place, oid, size), content in zip(folders, contents, strict=True)
        ]

    def _list(self, oid: str) -> bytes | None:
        """The list of a folder's files, from the cache or else the remote."""
        with contextlib.suppress(FileNotFoundError):
            content = self.cached(oid).read_bytes()
            if _is_content(content, oid):
                return content
        with contextlib.suppress(FileNotFoundError), self._open(oid) as file:
            content = file.read()
            if _is_content(content, oid):
                return content
        return None

    def _size(self, oid: str) -> int | None:
        try:
            size: int = self._objects.fs.info(self._objects.oid_to_path(oid))["size"]
        except FileNotFoundError:
            return None
        return size

    def _has_content(self, oid: str) -> bool:
        with self._open(oid) as file:
            return has_content(file, oid)

    def _open(self, oid: str) -> Any:
        return self._objects.fs.open(self._objects.oid_to_path(oid), "rb")

    def _require_remote(self) -> None:
        """A bucket that is not there and a disk that is not mounted are told from a remote that lost everything."""
        files = self._objects.fs
        with self._told():
            files.fs.invalidate_cache()  # what this process has seen before is no answer
            try:
                files.ls(self._path, detail=False)
            except FileNotFoundError as error:
                raise BoxlineError(
                    f"The {self.shown()} is not there, or nothing was ever pushed to it ({redact_message(error)}). Check "
                    "`dvc remote list`, mount the disk or create the bucket; then `dvc push` fills it."
                ) from None

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except BoxlineError:
            raise
        except Exception as error:  # every kind of remote has its own
            raise (NetworkError if _may_pass(error) else BoxlineError)(
                f"The {self.shown()} cannot be used ({type(error).__name__}: {redact_message(error).rstrip('.')}). Check its "
                "address with `dvc remote list`, that its server runs, and the credentials; then run it again."
            ) from error


def _may_pass(error: Exception) -> bool:
    """Whether a server or the way to it may have failed."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return not names & PERMANENT_ERRORS and getattr(error, "errno", None) not in FULL_OR_FIXED


@contextlib.contextmanager
def open_store(remote: str | None) -> Iterator[Store]:
    """The remote of that name, or the default one, of the project in the current folder."""
    # Here, because DVC takes a while to import and the command's help does without.
    from dvc.config import NoRemoteError, RemoteNotFoundError
    from dvc.exceptions import DvcException

    with open_project() as repo:
        require_lock()
        try:
            store = Store(repo, remote)
        except NoRemoteError:
            raise BoxlineError(
                "No remote is the default one, so there is nothing to look into. Name one with --remote, or make one "
                "the default: dvc remote add --default NAME ADDRESS"
            ) from None
        except RemoteNotFoundError:
            raise BoxlineError(
                f"There is no remote {remote!r}. Expected one that `dvc remote list` shows; correct --remote."
            ) from None
        except (DvcException, ImportError) as error:  # the latter for a kind of remote whose package is not there
            raise BoxlineError(
                f"DVC cannot use the remote: {redact_message(error).rstrip('.')}. See `dvc remote list`."
            ) from None
        yield store


@contextlib.contextmanager
def open_project() -> Iterator["Repo"]:
    """The DVC project in the current folder."""
    from dvc.exceptions import DvcException, NotDvcRepoError
    from dvc.repo import Repo

    try:
        repo = Repo(".")
    except NotDvcRepoError:
        raise BoxlineError(
            "The current folder is no DVC project: it has no .dvc. Run this from the project's root folder."
        ) from None
    except DvcException as error:
        raise BoxlineError(
            f"DVC cannot read its settings: {redact_message(error).rstrip('.')}. See .dvc/config."
        ) from None
    with repo:
        try:
            _ = repo.index.outs
        except DvcException as error:
            raise BoxlineError(
                f"DVC cannot read dvc.yaml and {LOCK}: {redact_message(error).rstrip('.')}. `dvc status` says more."
            ) from None
        yield repo


def require_lock() -> None:
    """Raises BoxlineError where there is no dvc.lock in the current folder."""
    if not Path(LOCK).is_file():
        raise BoxlineError(
            f"There is no {LOCK} in the current folder, so no run is known. `dvc repro` makes one; run this from the "
            "project's root folder."
        )


def file_has_content(path: Path, oid: str) -> bool:
    """Whether the bytes of that file have the hash. Read, not remembered: DVC trusts times and write protection."""
    with path.open("rb") as file:
        return has_content(file, oid)


def has_content(file: BinaryIO, oid: str) -> bool:
    """Whether the bytes to come have the hash."""
    md5 = hashlib.md5(usedforsecurity=False)
    while chunk := file.read(READ_BYTES):
        md5.update(chunk)
    return md5.hexdigest() == oid.removesuffix(FOLDER)


def _is_content(content: bytes, oid: str) -> bool:
    return hashlib.md5(content, usedforsecurity=False).hexdigest() == oid.removesuffix(FOLDER)


def _objects(files: list[tuple[Place, str, int | None]], folders: list[_Folder]) -> dict[str, ExpectedObject]:
    found: dict[str, ExpectedObject] = {}

    def add(oid: str, size_bytes: int | None, place: Place) -> None:
        found.setdefault(oid, ExpectedObject(oid, size_bytes)).places.append(place)

    for place, oid, size_bytes in files:
        add(oid, size_bytes, place)
    for folder in folders:
        add(folder.oid, None if folder.content is None else len(folder.content), folder.place)
        for md5, path in folder.files():
            add(md5, None, Place(path, folder.place.stage, folder.place.has_command))
    return found


def _contradicts(folder: _Folder, sizes: dict[str, int | None]) -> bool:
    """Whether all files of a folder are there, and their sizes are not what dvc.lock says of the folder."""
    found = [sizes[md5] for md5, _ in folder.files()]
    known = [size for size in found if size is not None]
    is_comparable = bool(found) and len(known) == len(found) and folder.size_bytes is not None
    return is_comparable and sum(known) != folder.size_bytes


def _reason(wanted: ExpectedObject, size: int | None, *, is_unlisted: bool, is_changed: bool) -> str | None:
    """What is wrong with an object of that size in the remote; None where nothing is."""
    if size is None:
        unknown = ", and which files belong to it is not known" if is_unlisted else ""
        return f"missing{unknown}"
    if wanted.size_bytes is not None and size != wanted.size_bytes:
        return f"has {size:,} bytes instead of {wanted.size_bytes:,}"
    return "has another content" if is_changed or is_unlisted else None
