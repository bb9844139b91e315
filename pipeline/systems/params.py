"""The `preset` section of a system in params.yaml."""

from typing import Literal

from pipeline.params import Section


class Preset(Section, frozen=True):
    """Where a system's pretrained weights come from.

    source: "upstream" for the published ones; "sample" for random ones, made here; a hub's handle ("hf://...",
        "kaggle://...", or KerasHub's own name); a folder, or an http(s) address, that holds the preset's files.
    size: of the sample, "small" or as "published".
    """

    source: str
    size: Literal["small", "published"]
