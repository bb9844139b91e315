"""Pretrained weights fetched from a hub, a folder or an address, or initialized at random."""

from pathlib import Path

import keras

from pipeline.core.errors import BoxlineError, join_items
from pipeline.core.redaction import redact_message, redact_url
from pipeline.download.manifest import Asset
from pipeline.download.transfer import download_file
from pipeline.pretrained.config import KERAS_FILES, PretrainedConfig
from pipeline.pretrained.handles import is_handle
from pipeline.pretrained.interfaces import PretrainedSource
from pipeline.pretrained.load import error_summary, load_pretrained


def fetch_pretrained(config: PretrainedConfig, source: PretrainedSource, where: str, folder: Path) -> int:
    """Fill `folder` with a system's pretrained weights. Files contain no dates: equal weights give equal bytes.

    Args:
        config: the `pretrained` section of the system.
        source: the system's pretrained weights.
        where: dotted key of the section, for messages.
        folder: an empty folder.

    Returns:
        The number of parameters.

    Raises:
        BoxlineError: if the source is unavailable, or its files cannot be loaded.

    """
    if config.source == "random":
        _save(source.random_init(config.scale), source.files, folder)
    elif config.source == "upstream" or is_handle(config.source):
        _save(_from_hub(config.source, source, where), source.files, folder)
    else:
        for name in source.files:
            try:
                download_file(Asset(name), config.source, folder)
            except BoxlineError as error:
                raise type(error)(f"{error} The weights of this system are {join_items(source.files)}.") from None
    return int(load_pretrained(folder).count_params())


def _from_hub(handle: str, source: PretrainedSource, where: str) -> keras.Model:
    try:
        if handle == "upstream":
            return source.load_published()
        if source.preset_class is None:
            raise ValueError("no hub has this network in Keras's form")
        return source.preset_class.from_preset(handle)
    except Exception as error:  # each hub client has exceptions of its own
        raise BoxlineError(
            f"params.yaml: {where}.source: {redact_url(handle)!r} could not be fetched "
            f"({redact_message(error_summary(error))}). Check the name and the network, or give a folder or an http(s) "
            f"or s3 address that holds {join_items(source.files)}, or `random` for random weights."
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
        if path.name not in files:  # a file with a date, and preprocessing, which is part of Boxline
            path.unlink()
