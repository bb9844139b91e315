"""Pretrained weights as inputs: fetched into a folder that DVC tracks, and loaded from there alone.

A folder holds a KerasHub preset as `save_to_preset` writes it, or, for a network that KerasHub lacks,
Keras's JSON and weights. Neither form holds dates: the same weights, the same bytes.
"""

import contextlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from pipeline.errors import BoxlineError, listed, root_cause
from pipeline.storage.transfer import Asset, fetch
from pipeline.systems.params import Preset
from pipeline.systems.verbs import Recipe

BACKBONE_FILES = ("config.json", "model.weights.h5")
DETECTOR_FILES = (*BACKBONE_FILES, "task.json", "task.weights.h5")
KERAS_FILES = ("model.json", "model.weights.h5")


def fetch_preset(preset: Preset, recipe: Recipe, where: str, folder: Path) -> int:
    """Fill `folder` and return the number of parameters. `where` names the section in messages.

    Raises BoxlineError where the source cannot be had, or where what came cannot be loaded.
    """
    if preset.source == "sample":
        _save(recipe.sample(preset.size), recipe, folder)
    elif preset.source == "upstream" or _is_handle(preset.source):
        _save(_from_hub(preset.source, recipe, where), recipe, folder)
    else:
        for name in recipe.FILES:
            try:
                fetch(Asset(name), preset.source, folder)
            except BoxlineError as error:
                raise BoxlineError(f"{error} A preset of this system consists of {listed(recipe.FILES)}.") from None
    return int(load_preset(folder, recipe).count_params())


def load_preset(folder: Path, recipe: Recipe) -> keras.Model:
    """The model in `folder` in Keras's present dtype policy. No code inside files is run."""
    try:
        with _in_present_policy(folder) as converted:
            if recipe.KIND is not None:
                return recipe.KIND.from_preset(str(converted))
            network, weights = (converted / name for name in KERAS_FILES)
            model = keras.models.model_from_json(network.read_text(encoding="utf-8"))
            model.load_weights(weights)
            return model
    except Exception as error:  # whatever a stranger's files make the libraries raise
        raise BoxlineError(
            f"{folder} is not a preset that can be loaded ({_reason(error)}). Expected are {listed(recipe.FILES)}, as "
            "Keras and KerasHub write them: correct preset.source in params.yaml, or fetch it anew."
        ) from None


def _is_handle(source: str) -> bool:
    """KerasHub's own names have no slash, other hubs have a scheme; whatever else is there is a folder or address."""
    scheme, separator, _ = source.partition("://")
    if separator:
        return scheme.lower() not in ("http", "https")
    return "/" not in source and not Path(source).exists()


def _from_hub(source: str, recipe: Recipe, where: str) -> keras.Model:
    try:
        if source == "upstream":
            return recipe.upstream()
        if recipe.KIND is None:
            raise ValueError("no hub has this network in Keras's form")
        return recipe.KIND.from_preset(source)
    except Exception as error:  # each hub's client raises its own
        raise BoxlineError(
            f"params.yaml: {where}.source: {source!r} could not be fetched ({_reason(error)}). Check the name and "
            f"the network, or give a folder or an http(s) address that holds {listed(recipe.FILES)}, or `sample` for "
            "random weights."
        ) from None


def _save(model: keras.Model, recipe: Recipe, folder: Path) -> None:
    if recipe.KIND is None:
        network, weights = (folder / name for name in KERAS_FILES)
        plain = keras.Model(model.inputs[0], model.outputs[0])
        network.write_text(plain.to_json(indent=2), encoding="utf-8")
        plain.save_weights(weights)
        return
    model.save_to_preset(str(folder))
    for path in folder.iterdir():
        if path.name not in recipe.FILES:  # a date and settings of preprocessing, which has its own place here
            path.unlink()


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
    return {key: _converted(value, policy) for key, value in config.items()}


def _reason(error: Exception) -> str:
    """The first line of the root cause."""
    return next(iter(str(root_cause(error)).splitlines()), type(error).__name__).rstrip(".:")
