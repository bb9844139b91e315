"""What a user writes as `source`, and the files below it."""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote, urlunsplit

from pipeline.core.errors import BoxlineError
from pipeline.core.redaction import redact_url, split_address
from pipeline.download.manifest import Asset
from pipeline.download.retry import RetryPolicy
from pipeline.download.sources.base import FileSource
from pipeline.download.sources.http import HttpSource
from pipeline.download.sources.local import LocalSource
from pipeline.download.sources.s3 import s3_sources
from pipeline.download.sources.unpacked import UnpackedFolder

SCHEMES = ("http", "https", "s3")
SOURCE_ADVICE = "Check the address under `source` in params.yaml."


def resolve_sources(root: str, assets: Sequence[Asset], patience: RetryPolicy) -> list[FileSource | UnpackedFolder]:
    """Where each asset comes from. `root` is a folder or an http(s) or s3 address, laid out like the upstream.

    What a root has behind a question mark, such as the signature of a cloud's container, is sent with every file.
    Raises BoxlineError for an address of another kind.
    """
    scheme = root.partition("://")[0].lower() if "://" in root else None
    if scheme is None:
        try:
            folder = Path(root).expanduser()
        except RuntimeError:
            raise BoxlineError(f"{root} begins with a user that this machine does not know. {SOURCE_ADVICE}") from None
        return [_in_folder(folder, asset) for asset in assets]
    if scheme == "s3":
        return [*s3_sources(root, [asset.path for asset in assets], patience, SOURCE_ADVICE)]
    if scheme not in SCHEMES:
        raise BoxlineError(
            f"{redact_url(root)} cannot be read: "
            "`source` in params.yaml takes a folder, or an http(s):// or s3:// address."
        )
    return [HttpSource(_joined(root, asset.path), patience, SOURCE_ADVICE) for asset in assets]


def _in_folder(folder: Path, asset: Asset) -> FileSource | UnpackedFolder:
    if asset.unpacked and folder.is_dir() and not (folder / asset.path).exists():
        return UnpackedFolder(folder, asset)
    return LocalSource(folder / asset.path)


def _joined(root: str, path: str) -> str:
    parts = split_address(root)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{quote(path)}", fragment=""))
