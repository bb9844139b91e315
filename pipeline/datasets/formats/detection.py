"""Which formats the files of a user may be read as."""

from pipeline.archives.file_tree import FileTree
from pipeline.core.errors import BoxlineError, join_items
from pipeline.core.file_names import IMAGE_SUFFIXES
from pipeline.core.formatting import escape_control
from pipeline.datasets.formats.interfaces import Detection
from pipeline.datasets.formats.registry import FORMATS, get_format

MAX_NAMES = 5


def detect_formats(tree: FileTree) -> dict[str, Detection]:
    """Return what speaks for each format, the most specific format first.

    Raises:
        BoxlineError: if the files fit no format; the message says what kinds of files there are.

    """
    detections = {name: get_format(name).detect(tree) for name in FORMATS}
    found = {name: detection for name, detection in detections.items() if detection is not None}
    if not found:
        names = tree.names()
        images = [name for name in names if name.lower().endswith(IMAGE_SUFFIXES)]
        others = [escape_control(name) for name in names if not name.lower().endswith(IMAGE_SUFFIXES)]
        raise BoxlineError(
            f"found no annotations in a known format among {len(names):,} files: {len(images):,} images, "
            f"{len(others):,} others ({join_items(others, MAX_NAMES) or 'none'}). "
            f"Name the format with --format: {join_items(FORMATS, len(FORMATS))}."
        )
    return found
