"""Pretrained weights, loaded from the folder that DVC tracks.

The folder holds a KerasHub preset as `save_to_preset` writes it, or, for a network that KerasHub does not have, Keras's
JSON and weights.
"""

import contextlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from pipeline.core.errors import BoxlineError, root_cause
from pipeline.pretrained.config import BACKBONE_FILES, DETECTOR_FILES, KERAS_FILES

BOX_LAYERS = ("anchor_generator", "label_encoder", "prediction_decoder")
"""These layers compute box coordinates in float32 under every dtype policy."""


def load_pretrained(folder: Path) -> keras.Model:
    """Load the model in `folder` under Keras's current dtype policy. Code inside the files is never run.

    Raises:
        BoxlineError: if it cannot be loaded.

    """
    try:
        return read_pretrained(folder)
    except Exception as error:  # with untrusted files the libraries may raise any exception
        raise BoxlineError(
            f"{folder} holds no pretrained weights that can be loaded ({error_summary(error)}). Expected the files "
            "that Keras or KerasHub writes: correct pretrained.source in params.yaml, or fetch them again."
        ) from None


def read_pretrained(folder: Path) -> keras.Model:
    """Load the model in `folder`, as `load_pretrained` does, with the errors of the libraries.

    The format follows from the names of the files: a RetinaNet of KerasHub, a KerasHub backbone, or a Keras model.
    """
    import keras_hub  # slow to import, and needed only by systems with pretrained weights

    with _with_current_policy(folder) as converted:
        names, policy = {path.name for path in converted.iterdir()}, keras.config.dtype_policy().name
        if names.issuperset(DETECTOR_FILES):
            # Not the base class of all detectors, which would also find subclasses that a system has registered.
            return keras_hub.models.RetinaNetObjectDetector.from_preset(str(converted), dtype=policy)
        if names.issuperset(BACKBONE_FILES):
            return keras_hub.models.Backbone.from_preset(str(converted), dtype=policy)
        network, weights = (converted / name for name in KERAS_FILES)
        model = keras.models.model_from_json(network.read_text(encoding="utf-8"))
        model.load_weights(weights)
        return model


def error_summary(error: Exception) -> str:
    """The first line of the root cause."""
    return next(iter(str(root_cause(error)).splitlines()), type(error).__name__).rstrip(".:")


@contextlib.contextmanager
def _with_current_policy(folder: Path) -> Iterator[Path]:
    """A copy of the folder with every layer under Keras's current dtype policy, not the one it was saved with."""
    policy = keras.config.dtype_policy().name
    with tempfile.TemporaryDirectory() as scratch:
        for path in folder.iterdir():
            converted = Path(scratch) / path.name
            if path.suffix == ".json":
                config = json.loads(path.read_text(encoding="utf-8"))
                converted.write_text(json.dumps(_set_policy(config, policy)), encoding="utf-8")
            else:
                converted.symlink_to(path.resolve())
        yield Path(scratch)


def _set_policy(config: Any, policy: str) -> Any:
    if isinstance(config, list):
        return [_set_policy(item, policy) for item in config]
    if not isinstance(config, dict):
        return config
    if config.get("class_name") == "DTypePolicy":
        return {**config, "config": {"name": policy}}
    return {key: value if key in BOX_LAYERS else _set_policy(value, policy) for key, value in config.items()}
