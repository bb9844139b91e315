"""Reads Pascal VOC: one XML file per image, in `Annotations/` with lists in `ImageSets/Main/`, or beside the images."""

import math
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import PurePosixPath

from pipeline.archives.file_tree import FileTree, with_suffix
from pipeline.core.config import Config
from pipeline.core.errors import BoxlineError, truncate
from pipeline.datasets.annotations import Reading
from pipeline.datasets.formats.collector import AnnotationCollector
from pipeline.datasets.formats.interfaces import Detection, FormatReader
from pipeline.datasets.formats.split_names import SPLITS, split_of_path

MAX_XML_BYTES = 16 << 20


class VocOptions(Config):
    """The options of VOC.

    Attributes:
        first_pixel: number of the leftmost and topmost pixel: 1 as in the specification, 0 as most tools write it. It
            is subtracted from the corners.

    """

    first_pixel: int = 0


class VocReader(FormatReader[VocOptions]):
    """Reads every XML file whose root is `annotation`. Lists in `ImageSets/Main/`, else folders, give the splits."""

    options_class = VocOptions

    def detect(self, tree: FileTree) -> Detection | None:
        """Look into the first XML file."""
        files = with_suffix(tree.names(), ".xml")
        if not files or b"<annotation" not in tree.read(files[0], MAX_XML_BYTES)[:4096]:
            return None
        return Detection(f"{len(files)} XML files, the first with <annotation>", len(files))

    def read(self, tree: FileTree, options: VocOptions, classes: tuple[str, ...] = ()) -> Reading:
        """Read all XML files in the order of their names."""
        collector = AnnotationCollector(tree, "object", classes)
        files = with_suffix(tree.names(), ".xml")
        if not files:
            raise BoxlineError("there are no XML files")
        split_by_stem = _listed_splits(tree)
        for file in files:
            try:
                root = ET.fromstring(tree.read(file, MAX_XML_BYTES))
            except (ET.ParseError, BoxlineError) as error:
                collector.refuse(file, 0, f"received a file that is no XML ({error})")
                continue
            _read_annotation(collector, tree, file, root, split_by_stem, options)
        return collector.finish()


def _listed_splits(tree: FileTree) -> Mapping[str, str]:
    """The split of each name in `ImageSets/Main/{train,val,test}.txt`."""
    splits = {}
    for name in tree.names():
        path = PurePosixPath(name)
        if path.parts[-3:-1] == ("ImageSets", "Main") and path.suffix == ".txt" and path.stem in SPLITS:
            for line in tree.read(name, MAX_XML_BYTES).decode(errors="replace").splitlines():
                if line.strip():
                    splits[line.split()[0]] = path.stem
    return splits


def _read_annotation(
    collector: AnnotationCollector,
    tree: FileTree,
    file: str,
    root: ET.Element,
    split_by_stem: Mapping[str, str],
    options: VocOptions,
) -> None:
    path = PurePosixPath(file)
    published = (root.findtext("filename") or path.stem).strip()
    name = tree.find(f"{path.parent}/{published}") or tree.find(published) or published
    size = (int(_number(root.findtext("size/width"))), int(_number(root.findtext("size/height"))))
    split = split_by_stem.get(path.stem) or split_of_path(file)
    image = collector.add_image(name, size, split=split, file=file)
    for number, element in enumerate(root.iter("object"), 1):
        corners = [_number(element.findtext(f"bndbox/{key}")) for key in ("xmin", "ymin", "xmax", "ymax")]
        class_name = (element.findtext("name") or "").strip()
        if not class_name or not all(map(math.isfinite, corners)):
            received = truncate(ET.tostring(element, "unicode"))
            reason = f"received {received}, expected a name and a box"
            collector.refuse(file, number, reason, split=split, file_name=name)
            continue
        x, y, right, bottom = (corner - options.first_pixel for corner in corners)
        collector.add_box(image, class_name, (x, y, right - x, bottom - y), file=file, number=number)


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan
