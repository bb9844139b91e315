"""Which formats the files of a user may be read as."""

from pipeline.archives.file_tree import FileTree
from pipeline.datasets.formats.interfaces import Detection
from pipeline.datasets.formats.registry import FORMATS, get_format


def detect_formats(tree: FileTree) -> dict[str, Detection]:
    """Return what speaks for each format that the files fit, the most specific format first."""
    detections = {name: get_format(name).detect(tree) for name in FORMATS}
    return {name: detection for name, detection in detections.items() if detection is not None}
