"""Temporary values for params.yaml, in the syntax of `dvc exp run -S`."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from dvc.exceptions import DvcException
from dvc.utils.hydra import apply_overrides, to_hydra_overrides
from dvc.utils.serialize import ParseError
from hydra.errors import OverrideParseException
from omegaconf.errors import OmegaConfBaseException
from ruamel.yaml import YAML

from pipeline.core.errors import BoxlineError


def overridden_params(params_file: Path, overrides: Sequence[str]) -> bytes:
    """Return the content of params.yaml with some values replaced. Comments are kept, and the file is not changed.

    Args:
        params_file: the file to start from.
        overrides: assignments such as systems.coco_yolo.train.batch_size=8; the last one for a key applies. Values with
            other characters than those of ordinary paths are quoted: datasets.coco.source="/data/coco (1)".

    Raises:
        BoxlineError: if the file is missing or malformed, or an override is invalid or its key does not exist.

    """
    for override in overrides:
        _require_one_value(override)
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary) / params_file.name
        try:
            copy.write_bytes(params_file.read_bytes())
            apply_overrides(copy, list(overrides))
        except FileNotFoundError:
            raise BoxlineError(f"{params_file.name} not found. Start the run in the project's root folder.") from None
        except ParseError as error:
            reason = " ".join(str(error.__cause__ or error).split())
            raise BoxlineError(f"{params_file.name} is not readable: {reason}. Correct it and try again.") from None
        except (DvcException, OmegaConfBaseException) as error:
            reason = " ".join(str(error.__cause__ or error).split())
            raise BoxlineError(f"overrides: {' '.join(overrides)}: {reason}") from None
        except (ValueError, TypeError, AttributeError):  # of OmegaConf, for a name where a list has numbers
            raise BoxlineError(
                f"overrides: {' '.join(overrides)}: a key does not fit {params_file.name}. Items of lists have numbers "
                "from 0, such as filters.0."
            ) from None
        return copy.read_bytes()


def _require_one_value(override: str) -> None:
    """Check the grammar of one override, and that it lists no values of several experiments as for `dvc exp run`."""
    try:
        [parsed] = to_hydra_overrides([override])
        reason = "several values, expected one" if parsed.is_sweep_override() else None
    except OverrideParseException as error:
        reason = " ".join(str(error).partition("See https://hydra.cc")[0].split())
    if reason:
        raise BoxlineError(f"overrides: {override}: {reason}.{_quoting_advice(override)}")


def _quoting_advice(override: str) -> str:
    key, separator, value = override.partition("=")
    if not separator:
        return " Expected KEY=VALUE."
    quoted = f"{key}={quote_value(value)}"
    try:
        to_hydra_overrides([quoted])
    except OverrideParseException:  # the key is wrong as well
        return ""
    return f" If this is text, quote it: {quoted}"


def quote_value(text: str) -> str:
    r"""Quote the value of an override, so that it is taken as it is.

    >>> print(quote_value("/data/coco (1)"), quote_value('5" \\'))
    "/data/coco (1)" "5\" \\"
    """
    # Hydra takes a backslash for itself unless a quotation mark follows.
    parts = text.split('"')
    return '"' + '\\"'.join(part + "\\" * _trailing_backslashes(part) for part in parts) + '"'


def _trailing_backslashes(text: str) -> int:
    return len(text) - len(text.rstrip("\\"))


def halved_batch_override(params_file: Path, system: str) -> str | None:
    """Return the override that halves the batch size of a training, or None if the batch is a single image."""
    params = YAML(typ="safe", pure=True).load(params_file)
    batch_size = params["systems"][system]["train"]["batch_size"]
    return f"systems.{system}.train.batch_size={batch_size // 2}" if batch_size > 1 else None
