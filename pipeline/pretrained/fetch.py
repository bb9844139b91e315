"""Pretrained weights as inputs: from a hub, a folder, an address, or made here."""

from pathlib import Path

import keras

from pipeline.core.errors import BoxlineError, join_items
from pipeline.download.manifest import Asset
from pipeline.download.sources.base import redact_message, redact_url
from pipeline.download.sources.resolve import SCHEMES
from pipeline.download.transfer import download_file
from pipeline.pretrained.config import KERAS_FILES, PretrainedConfig
from pipeline.pretrained.load import load_pretrained, reason_of
from pipeline.systems import interfaces as verbs


def fetch_pretrained(preset: PretrainedConfig, module: str, where: str, folder: Path) -> int:
    """Fill `folder` with the preset of that system and return its number of parameters.

    `where` names the section in messages. Folders hold no dates: the same weights, the same bytes. Raises BoxlineError
    where the source cannot be had, or where what came cannot be loaded.
    """
    files = verbs.pretrained_files(module)
    if preset.source == "sample":
        _save(verbs.recipe(module).sample(preset.scale), files, folder)
    elif preset.source == "upstream" or _is_handle(preset.source):
        _save(_from_hub(preset.source, module, where), files, folder)
    else:
        for name in files:
            try:
                download_file(Asset(name), preset.source, folder)
            except BoxlineError as error:
                raise type(error)(f"{error} A preset of this system consists of {join_items(files)}.") from None
    return int(load_pretrained(folder, module).count_params())


def _is_handle(source: str) -> bool:
    """KerasHub's own names have no slash, other hubs have a scheme; whatever else is there is a folder or address."""
    scheme, separator, _ = source.partition("://")
    if separator:
        return scheme.lower() not in SCHEMES
    return "/" not in source and not Path(source).exists()


def _from_hub(source: str, module: str, where: str) -> keras.Model:
    recipe = verbs.recipe(module)
    try:
        if source == "upstream":
            return recipe.upstream()
        if recipe.KIND is None:
            raise ValueError("no hub has this network in Keras's form")
        return recipe.KIND.from_preset(source)
    except Exception as error:  # each hub's client raises its own
        raise BoxlineError(
            f"params.yaml: {where}.source: {redact_url(source)!r} could not be fetched "
            f"({redact_message(reason_of(error))}). Check the name and the network, or give a folder or an http(s) or s3 "
            f"address that holds {join_items(verbs.pretrained_files(module))}, or `sample` for random weights."
        ) from None


def _save(model: keras.Model, files: tuple[str, ...], folder: Path) -> None:
    if files == KERAS_FILES:
        network, weights = (folder / name for name in KERAS_FILES)
        plain = keras.Model(model.inputs[0], model.outputs[0])
        network.write_text(plain.to_json(indent=2), encoding="utf-8")
        plain.save_weights(weights)
        return
    model.save_to_preset(str(folder))
    for path in folder.iterdir():
        if path.name not in files:  # a date and settings of preprocessing, which has its own place here
            path.unlink()
