"""The `pretrained` section of a system in params.yaml, and the files that hold pretrained weights."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from pipeline.core.config import Config, Name, parse_config
from pipeline.core.errors import BoxlineError, join_items
from pipeline.core.redaction import redact_url
from pipeline.download.sources.resolve import SCHEMES

BACKBONE_FILES = ("config.json", "model.weights.h5")
"""A backbone as KerasHub's `save_to_preset` writes it."""

DETECTOR_FILES = (*BACKBONE_FILES, "task.json", "task.weights.h5")
"""A whole detector as KerasHub's `save_to_preset` writes it."""

PRESET_SOURCES = (
    "the name of a RetinaNet of KerasHub, such as retinanet_resnet50_fpn_v2_coco, a handle such as "
    "hf://keras/retinanet_resnet50_fpn_v2_coco, or a folder or an http(s) URL with "
    f"{join_items(DETECTOR_FILES)}, as `save_to_preset` writes them"
)
PRESET_EXAMPLE = "Type for example: boxline predict --pretrained retinanet_resnet50_fpn_v2_coco photo.jpg"

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


def is_handle(source: str) -> bool:
    """Whether it names weights of a hub.

    KerasHub's own names have no slash and other hubs have a scheme; everything else is a folder or a URL.
    """
    scheme, separator, _ = source.partition("://")
    if separator:
        return scheme.lower() not in SCHEMES
    return "/" not in source and not Path(source).exists()


def require_preset_files(source: str) -> None:
    """Check that a folder has the files of a detector; handles and http(s) URLs are checked when they are fetched.

    Raises:
        BoxlineError: if `source` is a path, and no folder or a folder without these files, or an address on S3.

    """
    if source.lower().startswith("s3://"):
        raise BoxlineError(f"--pretrained: {redact_url(source)} is on S3. Expected {PRESET_SOURCES}.")
    if is_handle(source) or "://" in source:
        return
    folder = Path(source).expanduser()
    missing = [name for name in DETECTOR_FILES if not (folder / name).is_file()]
    if missing:
        problem = f"lacks {join_items(missing)}" if folder.is_dir() else "is not a folder"
        raise BoxlineError(f"--pretrained: {source} {problem}. Expected {PRESET_SOURCES}. {PRESET_EXAMPLE}")
