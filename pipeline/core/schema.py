"""Arrow schemas of all tables. The metadata of each field has its `meaning` and its `unit`; readers check the unit.

`category_id` is the dataset's own id, with gaps; `class_index` numbers the categories from 0 without gaps. Ids start at
1, since COCO tools use 0 for "no match", and they are unique within a split only, as in the files of a publisher: the
key of an image is its split and image_id, that of a box its split and box_id.
"""

import pyarrow as pa

PIXELS = "px"
SQUARE_PIXELS = "px^2"
BYTES = "B"

THUMBNAIL_SIDE = 16
"""Width and height in pixels of the gray thumbnails in FILES."""


def _field(
    name: str, data_type: pa.DataType, meaning: str, *, unit: str | None = None, nullable: bool = False
) -> pa.Field:
    metadata = {"meaning": meaning} | ({"unit": unit} if unit else {})
    return pa.field(name, data_type, nullable=nullable, metadata=metadata)


IMAGES = pa.schema(
    [
        _field("image_id", pa.int64(), "unique within its split, from 1"),
        _field("split", pa.string(), "train, val or test"),
        _field("file_name", pa.string(), "as published"),
        _field("width", pa.int32(), "as the annotations state it", unit=PIXELS),
        _field("height", pa.int32(), "as the annotations state it", unit=PIXELS),
        _field("archive", pa.string(), "path of the archive below the download folder"),
        _field("member", pa.string(), "name of the image inside its archive"),
    ]
)

FILES = pa.schema(
    [
        _field("image_id", pa.int64(), "key of images, with split"),
        _field("split", pa.string(), "train, val or test"),
        _field("sha256", pa.string(), "hex digest of the image file; null where it cannot be read", nullable=True),
        _field("size_bytes", pa.int64(), "of the image file", unit=BYTES, nullable=True),
        _field("format", pa.string(), "JPEG, PNG, ...; null where this and what follows is unknown", nullable=True),
        _field("mode", pa.string(), "Pillow's name of the channels: RGB, L, CMYK, I;16, ...", nullable=True),
        _field("width", pa.int32(), "as stored, before any turning", unit=PIXELS, nullable=True),
        _field("height", pa.int32(), "as stored, before any turning", unit=PIXELS, nullable=True),
        _field("orientation", pa.int8(), "EXIF tag: 1 upright, 2 to 8 turned or mirrored by viewers", nullable=True),
        _field(
            "thumbnail",
            pa.binary(THUMBNAIL_SIDE**2),
            "16 x 16 grey pixels, row by row; null if not decodable",
            nullable=True,
        ),
        _field("problem", pa.string(), "why it cannot be used; null where it can", nullable=True),
    ]
)

ARCHIVES = pa.schema(
    [
        _field("archive", pa.string(), "path of the archive below the download folder"),
        _field("files", pa.int64(), "members that are image files by their names"),
        _field("unused", pa.int64(), "those of them that no row of images stands for"),
        _field("first_unused", pa.string(), "the names of the first three"),
    ]
)

BOXES = pa.schema(
    [
        _field("box_id", pa.int64(), "unique within its split, from 1"),
        _field("split", pa.string(), "train, val or test"),
        _field("image_id", pa.int64(), "key of images, with split"),
        _field("category_id", pa.int32(), "key of categories"),
        _field("x", pa.float64(), "left edge", unit=PIXELS),
        _field("y", pa.float64(), "top edge", unit=PIXELS),
        _field("width", pa.float64(), "of the box", unit=PIXELS),
        _field("height", pa.float64(), "of the box", unit=PIXELS),
        _field("area", pa.float64(), "of the object's outline where one is known, else of the box", unit=SQUARE_PIXELS),
        _field("is_crowd", pa.bool_(), "one box around many objects; scored as a region to ignore"),
    ]
)

OUTLINE = _field(
    "outline", pa.large_string(), "the published segmentation as JSON, polygons or run lengths", nullable=True
)
OUTLINED_BOXES = BOXES.append(OUTLINE)
"""The stored table of boxes. Most of it is the outlines, which are read on request only."""

CATEGORIES = pa.schema(
    [
        _field("category_id", pa.int32(), "the dataset's own id, from 1, gaps kept"),
        _field("class_index", pa.int32(), "from 0, without gaps, in order of category_id"),
        _field("name", pa.string(), "as published"),
        _field("supercategory", pa.string(), "as published, or empty"),
    ]
)

_PLACE = [
    _field("file", pa.string(), "name of the annotation file in the source"),
    _field("element", pa.string(), "what the number counts: line, object, annotation, ..."),
    _field("number", pa.int32(), "of the line or element in the file, from 1; 0 for the whole file"),
]

LOCATIONS = pa.schema(
    # Dictionaries, because all boxes of a file repeat its name.
    [
        field.with_type(pa.dictionary(pa.int32(), pa.string())) if field.type == pa.string() else field
        for field in _PLACE
    ]
)
"""Where the rows of a table come from, row by row. Tables of readers that state no locations have no rows."""

REFUSED = pa.schema(
    [
        *_PLACE,
        _field("split", pa.string(), "train, val or test; null where it is unknown", nullable=True),
        _field("file_name", pa.string(), "of the image; null where it is unknown", nullable=True),
        _field("reason", pa.string(), "what was received and what was expected"),
    ]
)
"""Lines and elements of annotation files that could not become a row of images or boxes."""

PASSED_OVER = pa.schema(
    [
        _field("kind", pa.string(), "what is not used, in the plural: boxes of other classes, files of no known kind"),
        _field("count", pa.int64(), "how many there are"),
        _field("examples", pa.string(), "the names of the first three"),
    ]
)
"""What a reader does not use, and nobody needs to correct."""

QUARANTINE = pa.schema(
    [
        _field("table", pa.string(), "images or boxes; refused for an entry of a file that became no row of these"),
        _field("row_number", pa.int64(), "row of that table, from 1; null for refused", nullable=True),
        _field("row_id", pa.int64(), "image_id or box_id of the row; null for refused", nullable=True),
        _field("split", pa.string(), "train, val or test; null where it is unknown", nullable=True),
        _field("image_id", pa.int64(), "the image that the row belongs to; null for refused", nullable=True),
        _field("file_name", pa.string(), "of that image; null where there is no such image", nullable=True),
        *(
            pa.field(field.name, field.type, nullable=True, metadata=field.metadata)  # null where it is unknown
            for field in _PLACE
        ),
        _field("reason", pa.string(), "name of the check that refused it"),
        _field("values", pa.string(), "what breaks the check, as JSON"),
        _field("row", pa.string(), "the row as JSON, without its outline; null for refused", nullable=True),
    ]
)

PACK_INDEX = pa.schema(
    [
        _field("image_id", pa.int64(), "key of images, with split"),
        _field("split", pa.string(), "train, val or test"),
        _field("width", pa.int32(), "of the original", unit=PIXELS),
        _field("height", pa.int32(), "of the original", unit=PIXELS),
        _field("size", pa.int32(), "side of the square input", unit=PIXELS),
        _field("scaled_width", pa.int32(), "of the square input", unit=PIXELS),
        _field("scaled_height", pa.int32(), "of the square input", unit=PIXELS),
        _field("left", pa.int32(), "left edge of the scaled image in the square input", unit=PIXELS),
        _field("top", pa.int32(), "top edge of the scaled image in the square input", unit=PIXELS),
    ]
)

DETECTIONS = pa.schema(
    [
        _field("image_id", pa.int64(), "key of the images of the scored split"),
        _field("category_id", pa.int32(), "key of categories"),
        _field("x", pa.float64(), "left edge in the original", unit=PIXELS),
        _field("y", pa.float64(), "top edge in the original", unit=PIXELS),
        _field(
            "width",
            pa.float64(),
            "in pixels of the original image; negative if the predicted box is inverted",
            unit=PIXELS,
        ),
        _field(
            "height",
            pa.float64(),
            "in pixels of the original image; negative if the predicted box is inverted",
            unit=PIXELS,
        ),
        _field("score", pa.float64(), "0..1, the confidence"),
    ]
)

DETECTOR_IMAGES = pa.schema(
    [
        _field("image_id", pa.int64(), "key of images"),
        _field("file_name", pa.string(), "as published"),
        _field("boxes", pa.int64(), "true boxes without crowd regions"),
        _field("matched", pa.int64(), "of the true boxes, by a detection of their class"),
        _field("missed", pa.int64(), "of the true boxes"),
        _field("wrong", pa.int64(), "detections that match no box and no crowd region"),
    ]
)
"""The scored images of a detector, at IoU 0.5 and the score threshold with the best F1 over all images."""

LOCALIZER_IMAGES = pa.schema(
    [
        _field("image_id", pa.int64(), "key of images"),
        _field("file_name", pa.string(), "as published"),
        _field("boxes", pa.int64(), "true boxes without crowd regions"),
        _field("mean_iou", pa.float64(), "0..1, over the true boxes; null without one", nullable=True),
        _field("accuracy", pa.float64(), "0..1, true boxes of the predicted class; null without one", nullable=True),
        _field("score", pa.float64(), "0..1, the confidence; null without a prediction", nullable=True),
    ]
)
"""The scored images of a localizer."""
