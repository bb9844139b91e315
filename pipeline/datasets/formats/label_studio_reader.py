"""Reads the JSON exports of Label Studio: "JSON", a list of tasks, and "JSON-MIN", a list of annotations."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote

import msgspec
from msgspec import Raw

from pipeline.archives.file_tree import FileTree, with_suffix
from pipeline.archives.member_lookup import with_slashes
from pipeline.core.config import Config
from pipeline.core.errors import BoxlineError, truncate
from pipeline.core.file_names import IMAGE_SUFFIXES
from pipeline.core.formatting import pluralize
from pipeline.datasets.annotations import Reading
from pipeline.datasets.formats.collector import AnnotationCollector
from pipeline.datasets.formats.image_finder import ImageFinder, image_folders
from pipeline.datasets.formats.interfaces import Detection, FormatReader
from pipeline.datasets.formats.json_files import AnyJson, decode_json, json_files_like
from pipeline.datasets.formats.pixel_numbers import coordinate, side
from pipeline.datasets.formats.shapes import Shape, ellipse, polygons, rotated_box
from pipeline.datasets.formats.split_names import split_of_path

START = re.compile(
    rb'(?:\xef\xbb\xbf)?\s*[\[{].*"(?:rectanglelabels|polygonlabels|ellipselabels|brushlabels|was_cancelled'
    rb'|annotation_id|completions)"',
    re.DOTALL,
)

LABEL_KEYS = ("rectanglelabels", "polygonlabels", "ellipselabels", "labels")
"""Where a region has its classes."""

TYPES = ("rectanglelabels", "rectangle", "polygonlabels", "polygon", "ellipselabels", "ellipse")
"""The types of results with a box. Those without "labels" have their classes in another result of the same id."""

ADDRESS = re.compile(r"(?:[a-z0-9-]+://[^/?#]*|(?=/data/))(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?(?:#.*)?", re.DOTALL)
"""An address of a server or a bucket, or one on the server of Label Studio itself."""

KNOWN_TYPE = re.compile(r"[a-z]{1,30}")

UPLOAD_PREFIX = re.compile(r"[0-9a-f]{8}-")
"""What Label Studio puts before the names of uploaded files."""


class LabelStudioOptions(Config):
    """Label Studio has no options."""


class LabelStudioReader(FormatReader[LabelStudioOptions]):
    """Reads every JSON file with tasks of Label Studio. The folders of the images give the splits.

    Rectangles, polygons and ellipses are boxes, and polygons and turned rectangles their outlines. Of several
    annotations of a task, the ground truth is read, else the newest. Canceled ones and predictions are passed over, as
    well as tasks without an annotation: nobody has looked for objects in their images.
    """

    options_class = LabelStudioOptions

    def detect(self, tree: FileTree) -> Detection | None:
        """Look at the beginning of a few JSON files."""
        files, num_examined, num_found = json_files_like(tree, START)
        if num_found == 0:
            return None
        found = f"Label Studio's annotations in {num_found} of {num_examined} that were looked at"
        return Detection(f"{pluralize(len(files), 'JSON file', 'JSON files')}, {found}", len(files))

    def read(self, tree: FileTree, options: LabelStudioOptions, classes: tuple[str, ...] = ()) -> Reading:
        """Read the files in the order of their names, and the tasks in the order of each file."""
        collector = AnnotationCollector(tree, "task", classes)
        folders = image_folders(tree)
        used: dict[str, str] = {}
        for file in with_suffix(tree.names(), ".json"):
            try:
                content = tree.read(file)
                tasks = decode_json(content, AnyJson)
            except BoxlineError as error:
                collector.refuse(file, 0, f"received a file that is not JSON of Label Studio ({error})")
                continue
            if isinstance(tasks, dict) and "data" in tasks:
                tasks = [Raw(content)]
            if not isinstance(tasks, list):
                collector.pass_over("JSON files without tasks", file)
                continue
            reader = _FileReader(collector, tree, ImageFinder(tree, folders, file, split_of_path(file)), file, used)
            reader.read(tasks)
        collector.pass_over_unused(used, suffix=".json")
        collector.require_images("there are no images in JSON files with tasks of Label Studio")
        return collector.finish()


class _Task(NamedTuple):
    """A task.

    Attributes:
        number: of its entry in the file, from 1.
        image: how it names its image.
        annotations: those that are not canceled.
        num_canceled: how many others there are.

    """

    number: int
    image: str
    annotations: list["_Annotation"]
    num_canceled: int


class _Annotation(msgspec.Struct):
    result: list[Raw] | None = None
    was_cancelled: bool | None = False
    ground_truth: bool | None = False
    updated_at: str | None = None
    created_at: str | None = None

    def rank(self) -> tuple[bool, str]:
        """The larger, the better."""
        return bool(self.ground_truth), self.updated_at or self.created_at or ""


class _Result(msgspec.Struct):
    type: str = ""
    id: str | None = None
    value: dict[str, Any] = msgspec.field(default_factory=dict)
    original_width: Any = None
    original_height: Any = None
    image_rotation: Any = None


class _FileReader:
    """Reads the tasks of one file."""

    def __init__(
        self, collector: AnnotationCollector, tree: FileTree, finder: ImageFinder, file: str, used: dict[str, str]
    ) -> None:
        """Start.

        Args:
            collector: takes everything.
            tree: the files.
            finder: finds the images of the file.
            file: the annotation file.
            used: the images that are read, with the place that names them; gets those of this file.

        """
        self._collector = collector
        self._tree = tree
        self._finder = finder
        self._file = file
        self._used = used

    def read(self, entries: Sequence[Raw]) -> None:
        """Add the tasks of the file. Entries of "JSON-MIN" with one id are annotations of one task."""
        tasks: dict[object, _Task] = {}
        for number, entry in enumerate(entries, 1):
            try:
                content = decode_json(entry, dict[str, Raw])
                task = self._task(content, number)
            except BoxlineError as error:
                self._collector.refuse(self._file, number, f"received a task that cannot be read: {error}")
                continue
            is_minimal = "data" not in content and "id" in content
            first = tasks.setdefault((bytes(content["id"]), task.image) if is_minimal else number, task)
            if first is not task:
                first.annotations.extend(task.annotations)
        for task in tasks.values():
            self._add(task)

    def _task(self, content: Mapping[str, Raw], number: int) -> _Task:
        if "data" not in content:
            return _Task(number, _image_of(content), [_annotation_of(content)], 0)
        raw = content.get("annotations", content.get("completions", Raw(b"[]")))
        annotations = decode_json(raw, list[_Annotation])
        kept = [annotation for annotation in annotations if not annotation.was_cancelled]
        if (predictions := content.get("predictions")) and (num_predictions := _length(predictions)):
            self._collector.pass_over("predictions", f"{self._file}, task {number}", num_predictions)
        return _Task(
            number, _image_of(decode_json(content["data"], dict[str, Raw])), kept, len(annotations) - len(kept)
        )

    def _add(self, task: _Task) -> None:
        place = f"{self._file}, task {task.number}"
        if task.num_canceled:
            self._collector.pass_over("annotations that were canceled", place, task.num_canceled)
        if not task.annotations:
            self._collector.pass_over("tasks without annotations", place)
            return
        # Of equally good ones, the last is the newest.
        best = max(reversed(task.annotations), key=_Annotation.rank)
        if len(task.annotations) > 1:
            self._collector.pass_over("annotations beside the one that is read", place, len(task.annotations) - 1)
        name = self._find(task.image)
        split = split_of_path(name) or split_of_path(self._file)
        other = self._used.setdefault(name, place)
        if other != place:
            reason = f"received the image {name}, which {other} has already"
            self._collector.refuse(self._file, task.number, reason, split=split, file_name=name)
            return
        results, refused = _results(best.result or ())
        stated = next((size for _, result in results if all(size := _stated_size(result))), None)
        size = stated or self._tree.image_size(name)
        image = self._collector.add_image(name, size, split=split, file=self._file, number=task.number)
        labels = {result.id: _classes(result) for _, result in results if result.type == "labels" and result.id}
        for received, result in results:
            if result.type in TYPES:
                try:
                    shape = _shape(result, size)
                    classes = _classes(result) or labels.get(result.id or "", [])
                    if not classes:
                        raise BoxlineError("it has no label")
                except BoxlineError as error:
                    refused.append((received, str(error)))
                else:
                    self._add_boxes(image, classes, shape, task.number)
            elif result.type != "labels":
                kind = result.type if KNOWN_TYPE.fullmatch(result.type) else "unknown"
                self._collector.pass_over(f"results of the type {kind}", place)
        for received, problem in refused:
            reason = f"received the result {truncate(received)}: {problem}"
            self._collector.refuse(self._file, task.number, reason, split=split, file_name=name)

    def _add_boxes(self, image: int, classes: Sequence[str], shape: Shape, number: int) -> None:
        """Add a box per class: a region may have several."""
        box_xywh, area, outline = shape
        for class_name in classes:
            self._collector.add_box(
                image, class_name, box_xywh, file=self._file, number=number, area=area, outline=outline
            )

    def _find(self, published: str) -> str:
        """The name of the image in the tree, or its own name as it is published."""
        path = _path_of(published)
        base = path.rpartition("/")[2]
        for name in (path, base, UPLOAD_PREFIX.sub("", base, count=1)):
            if found := self._finder.find(name):
                return found
        return base


def _results(raw_results: Sequence[Raw]) -> tuple[list[tuple[str, _Result]], list[tuple[str, str]]]:
    """The text and content of each result, and the text of what is none, with what is wrong with it."""
    results, refused = [], []
    for raw in raw_results:
        received = bytes(raw).decode(errors="replace")
        try:
            results.append((received, decode_json(raw, _Result)))
        except BoxlineError as error:
            refused.append((received, str(error)))
    return results, refused


def _annotation_of(content: Mapping[str, Raw]) -> _Annotation:
    """The annotation of an entry of "JSON-MIN", with its regions as results."""
    updated_at, created_at = (_text(content.get(key)) for key in ("updated_at", "created_at"))
    lists = (decode_json(raw, AnyJson) for raw in content.values())
    regions = [_as_result(region) for one in lists if isinstance(one, list) for region in one]
    return _Annotation(regions, updated_at=updated_at, created_at=created_at)


def _as_result(region: Raw) -> Raw:
    """A region of "JSON-MIN" in the form of "JSON"; what is no region is unchanged."""
    value = decode_json(region, AnyJson)
    if not isinstance(value, dict):
        return region
    kind = next((key for key in value if key.endswith("labels")), "")
    more = {key: value[key] for key in ("original_width", "original_height", "image_rotation") if key in value}
    return Raw(msgspec.json.encode({"type": kind, "value": value, **more}))


def _text(raw: Raw | None) -> str | None:
    """The text, or None if it is another value."""
    value = None if raw is None else decode_json(raw, AnyJson)
    return value if isinstance(value, str) else None


def _image_of(data: Mapping[str, Raw]) -> str:
    """How the data of a task name its image.

    Raises:
        BoxlineError: if they name none.

    """
    texts = {key: text for key, raw in data.items() if (text := _text(raw))}
    names = [text for text in texts.values() if _path_of(text).lower().endswith(IMAGE_SUFFIXES)]
    name = texts.get("image") or next(iter(names), None)
    if name is None:
        raise BoxlineError("its data name no image")
    if name.startswith("data:"):
        raise BoxlineError("its image is in the data, expected the name of a file")
    return name


def _path_of(published: str) -> str:
    """The path in an address, with its own characters in place of percent-encoded ones.

    >>> _path_of("s3://bucket/a%20b.jpg"), _path_of("/data/local-files/?d=photos/1.jpg"), _path_of("C:/#1.jpg")
    ('a b.jpg', 'photos/1.jpg', 'C:/#1.jpg')
    """
    match = ADDRESS.fullmatch(published)
    if match is None:
        return with_slashes(published)
    path, query = match["path"], match["query"] or ""
    local = parse_qs(query).get("d", [""])[0] if "local-files" in path else ""
    return with_slashes(local or unquote(path))


def _classes(result: _Result) -> list[str]:
    names = next((result.value[key] for key in LABEL_KEYS if key in result.value), None)
    texts = [name.strip() for name in names if isinstance(name, str)] if isinstance(names, list) else []
    return [text for text in texts if text]


def _stated_size(result: _Result) -> tuple[int, int]:
    return side(result.original_width), side(result.original_height)


def _shape(result: _Result, size: tuple[int, int]) -> Shape:
    """The shape of a result in pixels; its numbers are percentages of the image.

    Raises:
        BoxlineError: if numbers are missing, or it is unknown what they are percentages of.

    """
    if not all(size):
        raise BoxlineError("neither a result nor a file states the size of its image")
    stated = _stated_size(result)
    if all(stated) and stated != size:
        raise BoxlineError(f"its image has {stated[0]} x {stated[1]} pixels, and {size[0]} x {size[1]} elsewhere")
    if result.image_rotation not in (None, 0):
        raise BoxlineError("its image is turned. Turn it back in Label Studio and export it again")
    width_percent, height_percent = size[0] / 100, size[1] / 100
    if result.type.startswith("polygon"):
        try:
            corners = [
                (coordinate(x) * width_percent, coordinate(y) * height_percent) for x, y in result.value["points"]
            ]
        except (KeyError, TypeError, ValueError):
            raise BoxlineError("its points are not pairs of numbers") from None
        if len(corners) < 3:
            raise BoxlineError(f"it has {pluralize(len(corners), 'corner', 'corners')}, and 3 are needed")
        return polygons([corners])
    x, y = _number(result, "x") * width_percent, _number(result, "y") * height_percent
    radians = math.radians(_number(result, "rotation")) if result.value.get("rotation") is not None else 0.0
    if result.type.startswith("ellipse"):
        radii = _number(result, "radiusX") * width_percent, _number(result, "radiusY") * height_percent
        return ellipse(x, y, *radii, radians)
    width, height = _number(result, "width") * width_percent, _number(result, "height") * height_percent
    # Label Studio turns a rectangle around its left top corner.
    return rotated_box((x, y, width, height), radians, (x, y))


def _number(result: _Result, key: str) -> float:
    try:
        return coordinate(result.value.get(key))
    except ValueError:
        raise BoxlineError(f"{key} is not a number") from None


def _length(raw: Raw) -> int:
    values = decode_json(raw, AnyJson)
    return len(values) if isinstance(values, list) else 0
