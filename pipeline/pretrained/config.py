"""The `preset` section of a system in params.yaml, and the files that it stands for."""

from typing import Annotated

from msgspec import Meta

from pipeline.core.config import Name, Config

# What a preset consists of: as KerasHub's `save_to_preset` writes it, for a backbone and for a whole detector, and as
# Keras writes a network that KerasHub lacks; and for a system that starts from random weights.
BACKBONE_FILES = ("config.json", "model.weights.h5")
DETECTOR_FILES = (*BACKBONE_FILES, "task.json", "task.weights.h5")
KERAS_FILES = ("model.json", "model.weights.h5")
NO_FILES: tuple[str, ...] = ()

PRETRAINED_SCALES = ("small", "published")
"""Of the samples of most systems."""


class PretrainedConfig(Config, frozen=True):
    """Where a system's pretrained weights come from.

    source: "upstream" for the published ones; "sample" for random ones, made here; a hub's handle ("hf://...",
        "kaggle://...", or KerasHub's own name); a folder, or an http(s) address, that holds the preset's files.
    scale: of the sample, "small", as "published", or what else the system has. Not "size": a key of that name, or
        "nfiles", does not count when DVC looks for a former run, which would then bring back another preset.
    """

    source: Annotated[str, Meta(min_length=1)]
    scale: Name
