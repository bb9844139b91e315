"""Published files brought here: from a folder or an http(s) address, checked on the way."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import requests
from urllib3.exceptions import HTTPError

from pipeline.errors import BoxlineError
from pipeline.progress import bar
from pipeline.storage.files import whole_file

CHUNK_BYTES = 1 << 20
SOURCE_ADVICE = "Check the address under `source` in params.yaml."
TIMEOUT_SECONDS = 30  # for the connection and for each silence, not for the whole file


@dataclass(frozen=True)
class Asset:
    """One published file: its path below the source's root, and where the publisher tells them, size and digest.

    `digest` is written "md5:..." or "sha256:...".
    """

    path: str
    size_bytes: int | None = None
    digest: str | None = None


def fetch(asset: Asset, root: str, folder: Path) -> Path:
    """Bring `root`/`asset.path` to `folder`/`asset.path`. `root` is a folder or an http(s) address.

    Size and digest are checked while the bytes pass. Raises BoxlineError, leaving nothing behind, where the source is
    missing, answers with an error or an HTML page, breaks off, or does not match.
    """
    target = folder / asset.path
    origin = f"{root.rstrip('/')}/{asset.path}"
    scheme = root.partition("://")[0].lower() if "://" in root else None
    if scheme not in (None, "http", "https"):
        raise BoxlineError(f"{root} cannot be read: `source` in params.yaml takes a folder or an http(s) address.")
    with whole_file(target) as partial:
        if scheme is None:
            received_bytes, digests = _copy(Path(origin).expanduser(), partial)
        else:
            received_bytes, digests = download(origin, partial, SOURCE_ADVICE)
        _check(asset, origin, received_bytes, digests)
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
    """The last cause in a chain of wrapped errors, which is the one that says something."""
    cause: BaseException = error
    while cause.__context__ is not None:
        cause = cause.__context__
    return str(cause) or type(cause).__name__
