"""run.json: what a run was made of, for people and programs that look at a commit without DVC."""

import hashlib
import json
import math
import platform
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.core.dvc_lock import Lock
from pipeline.core.errors import BoxlineError
from pipeline.core.redaction import redact_message, redact_url
from pipeline.remote.local_content import Contents

if TYPE_CHECKING:
    from dvc.repo import Repo

RUN = "run.json"
PARAMS = "params.yaml"
PACKAGES = "requirements.lock"
ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def params_of(text: str | None) -> Any:
    """What params.yaml holds, without the secrets of addresses; None where there is none."""
    if text is None:
        return None
    try:
        return cleaned(YAML(typ="safe", pure=True).load(text))
    except YAMLError as error:
        raise BoxlineError(f"{PARAMS} is no valid YAML ({' '.join(str(error).split())}). Correct it.") from None


def packages_of(text: str | None) -> str | None:
    """The SHA-256 of the lock of packages; None where there is none."""
    return None if text is None else hashlib.sha256(text.encode()).hexdigest()


def python_version() -> str:
    """Of the Python that runs."""
    return platform.python_version()


def metrics_of(repo: "Repo", lock: Lock) -> dict[str, Any]:
    """By path, the hash and content of each file of metrics that dvc.lock names.

    The content is null where the file of that hash is neither in the workspace nor in the cache.
    """
    contents = Contents(repo)
    outputs = lock.outputs()
    paths = sorted(repo.fs.relpath(out.fs_path, repo.root_dir) for out in repo.index.metrics)
    return {
        path: {"md5": outputs[path], "content": _parsed(contents.find(outputs[path], path))}
        for path in paths
        if path in outputs
    }


def cleaned(value: Any) -> Any:
    """As JSON can hold it: without the secrets of addresses, and what JSON does not know as text.

    >>> cleaned({"source": "https://me:secret@host/a?token=b", "rates": [0.5, float("inf")]})
    {'source': 'https://host/a', 'rates': [0.5, 'inf']}
    """
    if isinstance(value, dict):
        return {str(key): cleaned(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [cleaned(inner) for inner in value]
    if isinstance(value, str):
        return _without_secrets(value)
    if value is None or isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return str(value)


def _without_secrets(text: str) -> str:
    """An address, or a text in which addresses stand."""
    if ADDRESS.match(text):
        return redact_url(text)
    return redact_message(text) if "://" in text else text


def _parsed(path: Path | None) -> Any:
    """JSON where it is, otherwise text."""
    if path is None:
        return None
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        return cleaned(json.loads(text))
    except ValueError:
        return cleaned(text)
