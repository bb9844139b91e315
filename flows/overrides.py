"""Other values in params.yaml for one run, named and written as for `dvc exp run -S`."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from dvc.exceptions import DvcException
from dvc.utils.hydra import apply_overrides
from ruamel.yaml import YAML

PARAMS = "params.yaml"


class OverrideError(ValueError):
    """An override that params.yaml has no place for."""


def overridden(params: Path, overrides: Sequence[str]) -> str:
    """The text of params.yaml with values such as systems.coco_yolo.train.batch_size=8; comments stay."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / PARAMS
        copy.write_text(params.read_text(encoding="utf-8"), encoding="utf-8")
        try:
            apply_overrides(copy, list(overrides))
        except DvcException as error:
            reason = " ".join(str(error.__cause__ or error).split())
            raise OverrideError(f"overrides: {' '.join(overrides)}: {reason}") from None
        return copy.read_text(encoding="utf-8")


def halved_batch(params: Path, system: str) -> str | None:
    """The override that halves the batch of a training; None for a batch of one image."""
    values = YAML(typ="safe").load(params.read_text(encoding="utf-8"))
    batch_size = values["systems"][system]["train"]["batch_size"]
    return f"systems.{system}.train.batch_size={batch_size // 2}" if batch_size > 1 else None
