"""Temporary values for params.yaml, in the syntax of `dvc exp run -S`."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from dvc.exceptions import DvcException
from dvc.utils.hydra import apply_overrides
from ruamel.yaml import YAML


class OverrideError(ValueError):
    """An override with invalid syntax, or for a key that params.yaml does not have."""


def override_text(params_file: Path, overrides: Sequence[str]) -> str:
    """Return the text of params.yaml with some values replaced. Comments are kept, and the file is not changed.

    Args:
        params_file: the file to start from.
        overrides: assignments such as systems.coco_yolo.train.batch_size=8; the last one for a key applies.

    Raises:
        OverrideError: if an override is invalid or its key does not exist.

    """
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary) / params_file.name
        copy.write_text(params_file.read_text(encoding="utf-8"), encoding="utf-8")
        try:
            apply_overrides(copy, list(overrides))
        except DvcException as error:
            reason = " ".join(str(error.__cause__ or error).split())
            raise OverrideError(f"overrides: {' '.join(overrides)}: {reason}") from None
        return copy.read_text(encoding="utf-8")


def halved_batch_override(params_file: Path, system: str) -> str | None:
    """Return the override that halves the batch size of a training, or None if the batch is a single image."""
    params = YAML(typ="safe").load(params_file.read_text(encoding="utf-8"))
    batch_size = params["systems"][system]["train"]["batch_size"]
    return f"systems.{system}.train.batch_size={batch_size // 2}" if batch_size > 1 else None
