"""Published files brought here: from a folder or an http(s) address, checked on the way."""

import glob
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import requests
from urllib3.exceptions import HTTPError

from pipeline.errors import BoxlineError, root_cause
from pipeline.progress import bar
from pipeline.storage.archives import MAX_IMAGE_BYTES, write_archive
from pipeline.storage.files import whole_file

CHUNK_BYTES = 1 << 20
SOURCE_ADVICE = "Check the address under `source` in params.yaml."
TIMEOUT_SECONDS = 30  # for the connection and for each silence, not for the whole file


@dataclass(frozen=True)
class Asset:
    """One published file: its path below the source's root, and where the publisher tells them, size and digest.

    `digest` is written "md5:..." or "sha256:...". `unpacked` are the members of an archive as shell patterns: a folder
    that holds them in place of the archive is as good.
    """

    path: str
    size_bytes: int | None = None
    digest: str | None = None
    unpacked: tuple[str, ...] = ()


def fetch(asset: Asset, root: str, folder: Path) -> Path:
    """Bring `root`/`asset.path` to `folder`/`asset.path`. `root` is a folder or an http(s) address.

    A folder that holds the members of `asset.unpacked` and not the archive is packed; the same files, the same bytes.
    Size and digest are checked while the bytes pass. Raises BoxlineError, leaving nothing behind, where the source is
    missing, answers with an error or an HTML page, breaks off, or does not match.
    """
    target = folder / asset.path
    origin = f"{root.rstrip('/')}/{asset.path}"
    scheme = root.partition("://")[0].lower() if "://" in root else None
    if scheme not in (None, "http", "https"):
        raise BoxlineError(f"{root} cannot be read: `source` in params.yaml takes a folder or an http(s) address.")
    source = Path(origin).expanduser()
    with whole_file(target) as partial:
        if scheme is not None:
            _check(asset, origin, *download(origin, partial, SOURCE_ADVICE))
        elif asset.unpacked and not source.exists() and Path(root).expanduser().is_dir():
            _pack(asset, Path(root).expanduser(), partial)
        else:
            _check(asset, origin, *_copy(source, partial))
    return target


def download(url: str, target: Path, advice: str, max_bytes: int | None = None) -> tuple[int, dict[str, str]]:
    """Write what an http(s) address answers to `target`; return its size in bytes and its digests by name.

    Raises BoxlineError where it answers with an error or an HTML page, which ends with `advice`, where it breaks off,
    and where it has more than `max_bytes`, of which no more is written.
    """
    try:
        with requests.get(url, stream=True, timeout=TIMEOUT_SECONDS) as response:
            if not response.ok:
                raise BoxlineError(f"{url} answered {response.status_code} {response.reason}. {advice}")
            if response.headers.get("Content-Type", "").startswith("text/html"):
                raise BoxlineError(f"{url} is a web page, not a file. {advice}")
            announced = response.headers.get("Content-Length", "")
            # An encoded body has another length than announced; only a plain one can be compared.
            plain = "Content-Encoding" not in response.headers
            total = int(announced) if announced.isdecimal() and plain else None
            if max_bytes is not None and total is not None and total > max_bytes:
                raise BoxlineError(f"{url} has {total} bytes, more than {max_bytes} allowed.")
            received, digests = _write(response.iter_content(CHUNK_BYTES), target, url, total, max_bytes)
    except (requests.RequestException, HTTPError) as error:
        raise BoxlineError(
            f"{url} could not be read: {_reason(error)}. Check the network, then run it again."
        ) from None
    if total is not None and received != total:
        raise BoxlineError(f"{url} broke off after {received} of {total} bytes. Run it again.")
    return received, digests


def _copy(origin: Path, target: Path) -> tuple[int, dict[str, str]]:
    try:
        with origin.open("rb") as file:
            return _write(iter(lambda: file.read(CHUNK_BYTES), b""), target, str(origin), origin.stat().st_size)
    except (FileNotFoundError, NotADirectoryError):
        raise BoxlineError(
            f"{origin} not found. A folder given as `source` in params.yaml is laid out like the upstream."
        ) from None
    except (PermissionError, IsADirectoryError) as error:
        raise BoxlineError(f"{origin} could not be read: {error.strerror}.") from None


def _pack(asset: Asset, root: Path, target: Path) -> None:
    """The files below `root` that match `asset.unpacked`, in order of their names, as one archive."""
    names: list[str] = []
    for pattern in asset.unpacked:
        found = glob.glob(pattern, root_dir=root)  # noqa: PTH207 - as in a shell, names that begin with a dot stay hidden
        if not found:
            raise BoxlineError(
                f"{root} holds neither {asset.path} nor, unpacked, {pattern}. "
                "A folder given as `source` in params.yaml is laid out like the upstream."
            )
        names += [Path(name).as_posix() for name in found]
    with bar(f"packing {asset.path}", len(names), "file") as progress:

        def members() -> Iterator[tuple[str, bytes]]:
            for name in sorted(names):
                yield name, _file_to_pack(root, name)
                progress.update()

        write_archive(target, members())


def _file_to_pack(root: Path, name: str) -> bytes:
    """The file's bytes. A link may lead elsewhere below `root`, not out of it: no file is packed that was not given."""
    path = root / name
    try:
        name.encode()  # an archive's names are UTF-8
        if not path.resolve(strict=True).is_relative_to(root.resolve()):
            raise BoxlineError(f"{path} is a link that leads out of {root}. Put the file itself there.")
        if not path.is_file():
            raise BoxlineError(f"{path} is not a regular file. Put the file itself there.")
        if path.stat().st_size > MAX_IMAGE_BYTES:
            raise BoxlineError(f"{path} has {path.stat().st_size} bytes, more than {MAX_IMAGE_BYTES} allowed.")
        return path.read_bytes()
    except UnicodeEncodeError:
        raise BoxlineError(f"{str(path)!r} has a name that is not UTF-8. Rename it.") from None
    except (OSError, RuntimeError) as error:  # the second before Python 3.13, for a link that leads to itself
        raise BoxlineError(f"{path} could not be read: {getattr(error, 'strerror', error)}.") from None


def _write(
    chunks: Iterable[bytes], target: Path, name: str, total: int | None, max_bytes: int | None = None
) -> tuple[int, dict[str, str]]:
    hashes = {"md5": hashlib.md5(usedforsecurity=False), "sha256": hashlib.sha256()}
    received = 0
    with (
        target.open("wb") as file,
        bar(Path(name).name, total or 0, "B", unit_scale=True, unit_divisor=1024) as progress,
    ):
        for chunk in chunks:
            received += len(chunk)
            if max_bytes is not None and received > max_bytes:
                raise BoxlineError(f"{name} has {received} or more bytes, more than {max_bytes} allowed.")
            file.write(chunk)
            for digest in hashes.values():
                digest.update(chunk)
            progress.update(len(chunk))
    return received, {name: digest.hexdigest() for name, digest in hashes.items()}


def _check(asset: Asset, origin: str, received_bytes: int, digests: dict[str, str]) -> None:
    if asset.size_bytes is not None and received_bytes != asset.size_bytes:
        raise BoxlineError(
            f"{origin} has {received_bytes} bytes, expected {asset.size_bytes}. "
            "The publisher's file changed or arrived damaged: run it again, or name a mirror under `source`."
        )
    if asset.digest is not None:
        name, _, expected = asset.digest.partition(":")
        if digests[name] != expected:
            raise BoxlineError(
                f"{origin} has {name} {digests[name]}, expected {expected}. "
                "The publisher's file changed or arrived damaged: run it again, or name a mirror under `source`."
            )


def _reason(error: Exception) -> str:
    cause = root_cause(error)
    return str(cause) or type(cause).__name__
