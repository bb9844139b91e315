"""Pretrained weights, loaded from the folder that DVC tracks.

A folder holds a KerasHub preset as `save_to_preset` writes it, or, for a network that KerasHub lacks, Keras's JSON and
weights.
"""

import contextlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from pipeline.core.errors import BoxlineError, join_items, root_cause
from pipeline.pretrained.config import KERAS_FILES
from pipeline.systems import interfaces as verbs

BOX_LAYERS = ("anchor_generator", "label_encoder", "prediction_decoder")
"""Arithmetic on boxes stays float32 under every policy."""


def load_pretrained(folder: Path, module: str) -> keras.Model:
    """The model in `folder` for that system, in Keras's present dtype policy. No code inside files is run.

    Raises BoxlineError where it cannot be loaded.
    """
    kind = verbs.recipe(module).KIND
    try:
        with _in_present_policy(folder) as converted:
            if kind is not None:
                return kind.from_preset(str(converted), dtype=keras.config.dtype_policy().name)
            network, weights = (converted / name for name in KERAS_FILES)
            model = keras.models.model_from_json(network.read_text(encoding="utf-8"))
            model.load_weights(weights)
            return model
    except Exception as error:  # whatever a stranger's files make the libraries raise
        raise BoxlineError(
            f"{folder} is not a preset that can be loaded ({reason_of(error)}). Expected are "
            f"{join_items(verbs.pretrained_files(module))}, as Keras and KerasHub write them: correct preset.source in "
            "params.yaml, or fetch it anew."
        ) from None


def reason_of(error: Exception) -> str:
    """The first line of the root cause."""
    return next(iter(str(root_cause(error)).splitlines()), type(error).__name__).rstrip(".:")


@contextlib.contextmanager
def _in_present_policy(folder: Path) -> Iterator[Path]:
    """The preset with every layer under Keras's present dtype policy: each remembers the one that it was saved with."""
    policy = keras.config.dtype_policy().name
    with tempfile.TemporaryDirectory() as scratch:
        for path in folder.iterdir():
            converted = Path(scratch) / path.name
            if path.suffix == ".json":
                config = json.loads(path.read_text(encoding="utf-8"))
                converted.write_text(json.dumps(_converted(config, policy)), encoding="utf-8")
            else:
                converted.symlink_to(path.resolve())
        yield Path(scratch)


def _converted(config: Any, policy: str) -> Any:
    if isinstance(config, list):
        return [_converted(item, policy) for item in config]
    if not isinstance(config, dict):
        return config
    if config.get("class_name") == "DTypePolicy":
        return {**config, "config": {"name": policy}}
    return {key: value if key in BOX_LAYERS else _converted(value, policy) for key, value in config.items()}
