"""Pretrained weights as inputs: fetched into a folder that DVC tracks, and loaded from there alone.

A folder holds a KerasHub preset as `save_to_preset` writes it, or, for a network that KerasHub lacks,
Keras's JSON and weights. Neither form holds dates: the same weights, the same bytes.
"""

from pathlib import Path

import keras
import keras_hub

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
        _save(recipe.sample(preset.size), recipe.FILES, folder)
    elif preset.source == "upstream" or _is_handle(preset.source):
        _save(_from_hub(preset.source, recipe, where), recipe.FILES, folder)
    else:
        for name in recipe.FILES:
            try:
                fetch(Asset(name), preset.source, folder)
            except BoxlineError as error:
                raise BoxlineError(f"{error} A preset of this system consists of {listed(recipe.FILES)}.") from None
    return int(load_preset(folder, recipe.FILES).count_params())


def load_preset(folder: Path, files: tuple[str, ...]) -> keras.Model:
    """The model in `folder`, which holds `files`, in Keras's present dtype policy. No code inside files is run."""
    policy = keras.config.dtype_policy().name
    try:
        if files == KERAS_FILES:
            model = keras.models.model_from_json((folder / files[0]).read_text(encoding="utf-8"))
            model.load_weights(folder / files[1])
            return _with_policy(model, policy)
        kind = keras_hub.models.ObjectDetector if files == DETECTOR_FILES else keras_hub.models.Backbone
        return kind.from_preset(str(folder), dtype=policy)
    except Exception as error:  # whatever a stranger's files make the libraries raise
        raise BoxlineError(
            f"{folder} is not a preset that can be loaded ({_reason(error)}). Expected are {listed(files)}, as "
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
        if recipe.FILES == KERAS_FILES:
            raise ValueError("KerasHub has no such network")
        kind = keras_hub.models.ObjectDetector if recipe.FILES == DETECTOR_FILES else keras_hub.models.Backbone
        return kind.from_preset(source)
    except Exception as error:  # each hub's client raises its own
        raise BoxlineError(
            f"params.yaml: {where}.source: {source!r} could not be fetched ({_reason(error)}). Check the name and "
            f"the network, or give a folder or an http(s) address that holds {listed(recipe.FILES)}, or `sample` for "
            "random weights."
        ) from None


def _save(model: keras.Model, files: tuple[str, ...], folder: Path) -> None:
    if files == KERAS_FILES:
        plain = keras.Model(model.inputs[0], model.outputs[0])
        (folder / files[0]).write_text(plain.to_json(indent=2), encoding="utf-8")
        plain.save_weights(folder / files[1])
        return
    model.save_to_preset(str(folder))
    for path in folder.iterdir():
        if path.name not in files:  # a date and settings of preprocessing, which has its own place here
            path.unlink()


def _with_policy(model: keras.Model, policy: str) -> keras.Model:
    """The same network under another dtype policy; KerasHub's loader has an argument for it."""

    def converted(layer: keras.Layer) -> keras.Layer:
        return layer.__class__.from_config({**layer.get_config(), "dtype": policy})

    converted_model = keras.models.clone_model(model, clone_function=converted)
    converted_model.set_weights(model.get_weights())
    return converted_model


def _reason(error: Exception) -> str:
    """The first line of the root cause."""
    return next(iter(str(root_cause(error)).splitlines()), type(error).__name__).rstrip(".:")
