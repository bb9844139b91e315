"""Recognizes which columns of a CSV file have the image, the class and the box."""

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from pipeline.core.config import Config, TupleFromList
from pipeline.core.errors import BoxlineError, join_items, truncate
from pipeline.datasets.formats.csv_file import read_lines, with_valid_characters

DELIMITERS = (",", ";", "\t")

Column = Annotated[str | int, Field(union_mode="left_to_right")]
"""The name of a column, or its number from 1."""


class CsvColumns(Config):
    """Which columns to read; None to recognize them by their names.

    Attributes:
        image: the image file.
        label: the class.
        x_min: left edge of the box.
        y_min: top edge.
        x_max: right edge.
        y_max: bottom edge.
        x_center: center of the box.
        y_center: center of the box.
        width: width of the box; with `x_center` or, without `x_max`, with `x_min`.
        height: height of the box.
        image_width: width of the image in pixels.
        image_height: height of the image in pixels.
        split: the split of the image.

    """

    image: Column | None = None
    label: Column | None = None
    x_min: Column | None = None
    y_min: Column | None = None
    x_max: Column | None = None
    y_max: Column | None = None
    x_center: Column | None = None
    y_center: Column | None = None
    width: Column | None = None
    height: Column | None = None
    image_width: Column | None = None
    image_height: Column | None = None
    split: Column | None = None

    def given(self) -> dict[str, str | int]:
        """What is given."""
        return {role: column for role, column in self if column is not None}


class CsvOptions(Config):
    """The options of CSV.

    Attributes:
        files: names of the files to read; all with the needed columns if empty.
        columns: which columns to read.
        header: whether the first line names the columns.
        delimiter: what separates fields.
        units: of the boxes: pixels, or fractions of the width and height of the image.

    """

    files: Annotated[tuple[str, ...], TupleFromList] = ()
    columns: CsvColumns = CsvColumns()
    header: bool | Literal["auto"] = "auto"
    delimiter: Literal[",", ";", "\t", "auto"] = "auto"
    units: Literal["pixels", "fractions", "auto"] = "auto"


BoxForm = tuple[str, str, str, str]

CORNERS: BoxForm = ("x_min", "y_min", "x_max", "y_max")
CENTER: BoxForm = ("x_center", "y_center", "width", "height")
LEFT_TOP: BoxForm = ("x_min", "y_min", "width", "height")
BOX_FORMS = (CORNERS, CENTER, LEFT_TOP)
BOX_ROLES = frozenset(role for form in BOX_FORMS for role in form)

ALIASES = {
    "image": (
        *("filename", "imagefilename", "imagename", "imagepath", "filepath", "imagefile", "imgpath", "imgname"),
        *("image", "img", "file", "path", "imageid", "imgid"),
    ),
    "label": (
        *("class", "classname", "label", "labelname", "category", "categoryname", "objectclass", "object", "tag"),
        *("name", "classid", "labelid", "categoryid"),
    ),
    "x_min": ("xmin", "x1", "left", "bboxxmin", "bboxx1", "bboxleft", "boxleft", "xtl", "minx", "xstart", "x", "bboxx"),
    "y_min": ("ymin", "y1", "top", "bboxymin", "bboxy1", "bboxtop", "boxtop", "ytl", "miny", "ystart", "y", "bboxy"),
    "x_max": ("xmax", "x2", "right", "bboxxmax", "bboxx2", "bboxright", "boxright", "xbr", "maxx", "xend"),
    "y_max": ("ymax", "y2", "bottom", "bboxymax", "bboxy2", "bboxbottom", "boxbottom", "ybr", "maxy", "yend"),
    "x_center": ("xcenter", "centerx", "xc", "cx"),
    "y_center": ("ycenter", "centery", "yc", "cy"),
    "width": ("w", "bboxwidth", "boxwidth", "bboxw", "boxw", "width"),
    "height": ("h", "bboxheight", "boxheight", "bboxh", "boxh", "height"),
    "image_width": ("imagewidth", "imgwidth", "imagew", "imgw", "originalwidth", "width"),
    "image_height": ("imageheight", "imgheight", "imageh", "imgh", "originalheight", "height"),
    "split": ("split", "subset", "set", "partition"),
}
"""Usual names of the columns, without case, spaces and signs, the most telling first."""

WITHOUT_HEADER = {"image": 1, "x_min": 2, "y_min": 3, "x_max": 4, "y_max": 5, "label": 6}
"""The columns of keras-retinanet, which a file without header has unless others are given."""

NAMES_X0 = {"x0": "x1", "y0": "y1", "x1": "x2", "y1": "y2"}
"""Corners that are counted from 0, as those that are counted from 1."""

SEPARATORS = re.compile(r"[^0-9a-z]")
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class CsvLayout:
    """How the rows of a file are written.

    Attributes:
        delimiter: what separates fields.
        has_header: whether the first line names the columns.
        header: names of the columns: as the first line has them, or "column 1", ...
        columns: the names in `header` by what they stand for: keys of ALIASES. Without `label`, there is one class.
        box_form: which of BOX_FORMS the columns have.

    """

    delimiter: str
    has_header: bool
    header: Sequence[str]
    columns: Mapping[str, str]
    box_form: BoxForm


def recognize_layout(file: str, head: bytes, options: CsvOptions, *, has_one_class: bool = False) -> CsvLayout:
    """Recognize the layout of a file by its first line that is not blank.

    Args:
        file: name of the file, for error messages.
        head: the beginning of the file.
        options: what is known.
        has_one_class: whether the file needs no column of classes.

    Raises:
        BoxlineError: if a needed column is not recognized.

    """
    if head.startswith(UTF16_MARKS):
        raise BoxlineError(f"{file}: received a text in UTF-16, expected UTF-8. Save the file as UTF-8.")
    delimiters = DELIMITERS if options.delimiter == "auto" else (options.delimiter,)
    lines = {delimiter: _first_line(head, delimiter) for delimiter in delimiters}
    for delimiter, fields in lines.items():
        if layout := _layout(delimiter, fields, options, {"image"} if has_one_class else {"image", "label"}):
            repeated = [name for name in layout.columns.values() if layout.header.count(name) > 1]
            if repeated:
                raise BoxlineError(f"{file}: repeated column {repeated[0]}, expected one of this name.")
            return layout
    fields = max(lines.values(), key=len)
    raise BoxlineError(
        f"{file}: received the columns {truncate(join_items(fields)) or 'none'}, "
        f"expected an image, a label (none if `classes` has one name) and a box "
        f"({'; '.join(', '.join(form) for form in BOX_FORMS)}). "
        "Name them, or their numbers from 1: options: {columns: {image: ..., label: ..., x_min: ..., ...}}."
    )


def _first_line(head: bytes, delimiter: str) -> list[str]:
    for _, fields in read_lines(head, delimiter):
        return [] if isinstance(fields, str) else [with_valid_characters(field) for field in fields]
    return []


def _layout(delimiter: str, fields: Sequence[str], options: CsvOptions, required: Set[str]) -> CsvLayout | None:
    given = options.columns.given()
    if options.header is not False:
        columns = _named_columns(fields, given)
        form = _box_form(columns, required)
        if form and given.keys() <= columns.keys() and not _are_numbers([columns[role] for role in form]):
            return CsvLayout(delimiter, True, fields, _needed(columns, form), form)
    if options.header is not True:
        header = [f"column {number}" for number in range(1, len(fields) + 1)]
        numbers = given or WITHOUT_HEADER
        columns = {role: f"column {number}" for role, number in numbers.items() if f"column {number}" in header}
        form = _box_form(columns, required)
        texts = dict(zip(header, fields, strict=True))
        if (
            form
            and numbers.keys() <= columns.keys()
            and (options.header is False or _are_numbers([texts[columns[role]] for role in form]))
        ):
            return CsvLayout(delimiter, False, header, columns, form)
    return None


def _named_columns(header: Sequence[str], given: Mapping[str, str | int]) -> dict[str, str]:
    """The columns by what they stand for: given ones, and others by their usual names."""
    names: dict[str, str] = {}
    for name in header:
        names.setdefault(SEPARATORS.sub("", name.casefold()), name)
    if {"x0", "x1"} <= names.keys() and "x2" not in names:
        names = {NAMES_X0.get(name, name): column for name, column in names.items()}
    columns = {}
    for role, column in given.items():
        if isinstance(column, int) and 0 < column <= len(header):
            columns[role] = header[column - 1]
        elif column in header:
            columns[role] = str(column)
    has_box = any(set(form) <= columns.keys() for form in BOX_FORMS)
    for role, aliases in ALIASES.items():
        if role not in given and not (has_box and role in BOX_ROLES):
            found = next((names[alias] for alias in aliases if alias in names), None)
            if found is not None and found not in columns.values():
                columns[role] = found
    return columns


def _box_form(columns: Mapping[str, str], required: Set[str]) -> BoxForm | None:
    if not required <= columns.keys():
        return None
    return next((form for form in BOX_FORMS if set(form) <= columns.keys()), None)


def _needed(columns: Mapping[str, str], form: BoxForm) -> dict[str, str]:
    """Without the columns of other forms of boxes. With corners, `width` is that of the image."""
    needed = {role: columns[role] for role in ("image", "label", *form, "split") if role in columns}
    for role, other in (("image_width", "width"), ("image_height", "height")):
        if role in columns:
            needed[role] = columns[role]
        elif other in columns and other not in form:
            needed[role] = columns[other]
    return needed


def _are_numbers(texts: Sequence[str]) -> bool:
    """Whether the texts are those of a box; those of a background are empty."""
    try:
        return not any(texts) or all(float(text) is not None for text in texts)
    except ValueError:
        return False
