"""Which weights a text names: those of a hub, or files in a folder or at an address. Imports no Keras."""

from pathlib import Path

from pipeline.core.errors import BoxlineError, join_items
from pipeline.core.redaction import redact_url
from pipeline.download.sources.resolve import SCHEMES
from pipeline.pretrained.config import DETECTOR_FILES

PRESET_SOURCES = (
    "the name of a RetinaNet of KerasHub, such as retinanet_resnet50_fpn_v2_coco, a handle such as "
    "hf://keras/retinanet_resnet50_fpn_v2_coco, or a folder or an http(s) URL with "
    f"{join_items(DETECTOR_FILES)}, as `save_to_preset` writes them"
)
PRESET_EXAMPLE = "Type for example: boxline predict --pretrained retinanet_resnet50_fpn_v2_coco photo.jpg"


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
