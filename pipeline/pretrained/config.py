"""The `pretrained` section of a system in params.yaml, and the files that hold pretrained weights."""

from typing import Annotated

from pydantic import Field

from pipeline.core.config import Config, Name, parse_config
from pipeline.core.errors import BoxlineError, join_items

BACKBONE_FILES = ("config.json", "model.weights.h5")
"""A backbone as KerasHub's `save_to_preset` writes it."""

DETECTOR_FILES = (*BACKBONE_FILES, "task.json", "task.weights.h5")
"""A whole detector as KerasHub's `save_to_preset` writes it."""

KERAS_FILES = ("model.json", "model.weights.h5")
"""A network that KerasHub does not have, as Keras writes it."""


class PretrainedConfig(Config):
    """Where a system's pretrained weights come from.

    Attributes:
        source: "upstream" for the published weights; "random" for random weights of the same architecture; a handle
            of a hub ("hf://...", "kaggle://...", or a KerasHub preset name); a folder, or an http(s) or s3 address,
            that holds the files.
        scale: of random weights: "small", "published", or another scale of the system. The key must not be called
            `size` or `nfiles`: DVC ignores keys of these names when it looks up an earlier run.

    """

    source: Annotated[str, Field(min_length=1)]
    scale: Name


def parse_pretrained(raw: object, scales: tuple[str, ...], where: str) -> PretrainedConfig | None:
    """Check the `pretrained` section of a system.

    Args:
        raw: the section as YAML holds it.
        scales: the scales that the system has; empty for a system without pretrained weights.
        where: dotted key of the section, for messages.

    Returns:
        The section, or None for a system that starts from random weights.

    Raises:
        BoxlineError: if the section is missing, superfluous or invalid, or names an unknown scale.

    """
    if (raw is None) != (not scales):
        expected = "a section with source and scale" if scales else "null: the system starts from random weights"
        raise BoxlineError(f"params.yaml: {where}: received {raw!r}, expected {expected}.")
    if raw is None:
        return None
    config = parse_config(raw, PretrainedConfig, where)
    if config.scale not in scales:
        raise BoxlineError(
            f"params.yaml: {where}.scale: received {config.scale!r}, expected one of {join_items(scales)}."
        )
    return config
