"""Contents of run.json, the metadata of a recorded run, readable without DVC."""

import hashlib
import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.core.config import PARAMS_FILE
from pipeline.core.dvc_lock import DvcLock
from pipeline.core.errors import BoxlineError
from pipeline.core.redaction import redact_message, redact_url
from pipeline.remote.objects import find_local_file

if TYPE_CHECKING:
    from dvc.repo import Repo

PACKAGES = "requirements.lock"
URL_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def parse_params(text: str | None) -> Any:
    """Parse params.yaml and redact it; None for None.

    Raises:
        BoxlineError: if the text is not valid YAML.

    """
    if text is None:
        return None
    try:
        return redact(YAML(typ="safe", pure=True).load(text))
    except YAMLError as error:
        raise BoxlineError(f"{PARAMS_FILE} is not valid YAML ({' '.join(str(error).split())}). Correct it.") from None


def hash_packages(text: str | None) -> str | None:
    """Return the SHA-256 of requirements.lock; None for None."""
    return None if text is None else hashlib.sha256(text.encode()).hexdigest()


def read_metrics(repo: "Repo", lock: DvcLock) -> dict[str, Any]:
    """Return `md5` and `content` of each metrics file in dvc.lock, by path.

    The content is None if neither the workspace nor the cache has a file with that MD5.
    """
    outputs = lock.outputs()
    paths = sorted(repo.fs.relpath(out.fs_path, repo.root_dir) for out in repo.index.metrics)
    return {
        path: {"md5": outputs[path], "content": _read_content(find_local_file(repo, outputs[path], path))}
        for path in paths
        if path in outputs
    }


def redact(value: Any) -> Any:
    """Convert a value to what JSON can represent, and remove secrets from the URLs in it.

    Numbers that are not finite, dates and other types become text, as do the keys of mappings.

    >>> redact({"source": "https://me:secret@host/a?token=b", "rates": [0.5, float("inf")]})
    {'source': 'https://host/a', 'rates': [0.5, 'inf']}
    """
    if isinstance(value, dict):
        return {str(key): redact(item) for key, item in value.items()}
    if isinstance(value, list):
        return [redact(item) for item in value]
    if isinstance(value, str):
        return _redact_text(value)
    if value is None or isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return str(value)


def _redact_text(text: str) -> str:
    """Redact a text that is a URL or contains some."""
    if URL_SCHEME.match(text):
        return redact_url(text)
    return redact_message(text) if "://" in text else text


def _read_content(path: Path | None) -> Any:
    """Return the content of a metrics file: parsed if it is JSON, else as text."""
    if path is None:
        return None
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        return redact(json.loads(text))
    except ValueError:
        return redact(text)
