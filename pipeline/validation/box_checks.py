"""The checks of single boxes."""

from functools import reduce
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.core.config import Fraction, NonNegativeFloat
from pipeline.datasets.annotations import take_or_null
from pipeline.validation.base import BoxCheck, Violations, duplicates_of_id, violations_where
from pipeline.validation.joins import first_equal_row
from pipeline.validation.overlaps import overlapping_rows

XYWH = ("x", "y", "width", "height")


class ImageQuarantined(BoxCheck):
    """A box of a quarantined image.

    It is not in params.yaml and cannot be switched off: a box without an image is of no use.
    """

    def find_violations(self, table: pa.Table) -> Violations:
        return violations_where(table, table["image_rejected"], "image_id")


class BoxIdBelowOne(BoxCheck):
    """An id of 0 or less; COCO tools treat 0 as "no match"."""

    def find_violations(self, table: pa.Table) -> Violations:
        return violations_where(table, pc.less(table["box_id"], 1), "box_id")


class BoxIdDuplicated(BoxCheck):
    """An id that several boxes of a split have. All of them violate the check, because the correct one is unknown.

    Always an error, because the id is a key.
    """

    severity: Literal["error"]

    def find_violations(self, table: pa.Table) -> Violations:
        return duplicates_of_id(table, "box_id")


class BoxImageUnknown(BoxCheck):
    """An image_id that no image of the split of the box has.

    Always an error, because the box belongs to nothing.
    """

    severity: Literal["error"]

    def find_violations(self, table: pa.Table) -> Violations:
        return violations_where(table, pc.is_null(table["file_name"]), "image_id")


class BoxCategoryUnknown(BoxCheck):
    """A category_id that no category has.

    Always an error, because the box has no class.
    """

    severity: Literal["error"]

    def find_violations(self, table: pa.Table) -> Violations:
        return violations_where(table, pc.is_null(table["class_index"]), "category_id")


class BoxNotFinite(BoxCheck):
    """A coordinate, size or area that is NaN or infinite."""

    def find_violations(self, table: pa.Table) -> Violations:
        finite = reduce(pc.and_, [pc.is_finite(table[name]) for name in (*XYWH, "area")])
        return violations_where(table, pc.invert(finite), *XYWH, "area")


class BoxSizeNotPositive(BoxCheck):
    """A width or height of 0 or less."""

    def find_violations(self, table: pa.Table) -> Violations:
        shorter = pc.min_element_wise(table["width"], table["height"])
        return violations_where(table, pc.less_equal(shorter, 0), "width", "height")


class BoxOutsideImage(BoxCheck):
    """A box that exceeds its image by more than tolerance_pixels; published boxes are rounded."""

    tolerance_pixels: NonNegativeFloat

    def find_violations(self, table: pa.Table) -> Violations:
        outside = pc.less(pc.min_element_wise(table["x"], table["y"]), -self.tolerance_pixels)
        for start, extent in (("x", "width"), ("y", "height")):
            limit = pc.add(table[f"image_{extent}"].cast(pa.float64()), self.tolerance_pixels)
            outside = pc.or_kleene(outside, pc.greater(pc.add(table[start], table[extent]), limit))
        return violations_where(table, outside, *XYWH, "image_width", "image_height")


class BoxAreaNotPositive(BoxCheck):
    """An area of 0 or less although the box has a positive size; the outline is lost."""

    def find_violations(self, table: pa.Table) -> Violations:
        return violations_where(table, pc.less_equal(table["area"], 0), "area", "width", "height")


class BoxAreaExceedsBox(BoxCheck):
    """An area above width x height by more than tolerance_fraction of it.

    The area is that of the object's outline, or of all objects of a crowd region, and these are inside the box.
    """

    tolerance_fraction: Fraction

    def find_violations(self, table: pa.Table) -> Violations:
        box_area = pc.multiply(table["width"], table["height"])
        too_large = pc.greater(table["area"], pc.multiply(box_area, 1 + self.tolerance_fraction))
        return violations_where(table, too_large, "area", "width", "height", "is_crowd")


class OutlineMalformed(BoxCheck):
    """An outline that is neither polygons nor run lengths, does not fit the size of its image, or is too long.

    The box is used all the same.
    """

    def find_violations(self, table: pa.Table) -> Violations:
        return violations_where(table, pc.is_valid(table["outline_problem"]), "outline_problem")


class BoxDiffersFromOutline(BoxCheck):
    """A box or area that differs from those of the object's outline.

    An edge of the box may differ by tolerance_pixels, because outlines are measured in whole pixels. The area may
    differ by tolerance_fraction of the outline's area, and by as many pixels as a border of tolerance_pixels has.
    """

    tolerance_pixels: NonNegativeFloat
    tolerance_fraction: Fraction

    def find_violations(self, table: pa.Table) -> Violations:
        differs = pa.scalar(False)
        for start, extent in (("x", "width"), ("y", "height")):
            near = pc.subtract(table[start], table[f"outline_{start}"])
            far = pc.add(near, pc.subtract(table[extent], table[f"outline_{extent}"]))
            for distance in (near, far):
                differs = pc.or_kleene(differs, pc.greater(pc.abs(distance), self.tolerance_pixels))
        border = pc.multiply(pc.add(table["width"], table["height"]), 2 * self.tolerance_pixels)
        allowed = pc.add(border, pc.multiply(table["outline_area"], self.tolerance_fraction))
        area_difference = pc.abs(pc.subtract(table["area"], table["outline_area"]))
        differs = pc.or_kleene(differs, pc.greater(area_difference, allowed))
        measured = ("outline_x", "outline_y", "outline_width", "outline_height", "outline_area")
        return violations_where(table, differs, *XYWH, "area", *measured)


class BoxDuplicated(BoxCheck):
    """The same image, category and coordinates as an earlier box. The first box passes; the later ones do not."""

    def find_violations(self, table: pa.Table) -> Violations:
        first = first_equal_row(table, ["split", "image_id", "category_id", *XYWH])
        table = table.append_column("same_as_box", table["box_id"].take(pa.array(first)))
        return violations_where(table, pa.array(first != np.arange(len(first))), "same_as_box", "category_id", *XYWH)


class BoxNearlyDuplicated(BoxCheck):
    """An overlap with an earlier box of its class and image above min_iou, without equal coordinates.

    Both boxes are probably of one object, which was labeled twice. Crowd regions are excluded.
    """

    min_iou: Fraction

    def find_violations(self, table: pa.Table) -> Violations:
        is_equal = first_equal_row(table, ["split", "image_id", "category_id", *XYWH]) != np.arange(table.num_rows)
        others, ious = overlapping_rows(table, self.min_iou, same_class=True)
        others[is_equal] = -1  # that is box_duplicated
        return _overlaps(table, others, ious)


class BoxInTwoClasses(BoxCheck):
    """An overlap with an earlier box of another class in its image above min_iou.

    Both boxes are probably of one object, which has two classes. Crowd regions are excluded.
    """

    min_iou: Fraction

    def find_violations(self, table: pa.Table) -> Violations:
        return _overlaps(table, *overlapping_rows(table, self.min_iou, same_class=False))


def _overlaps(table: pa.Table, others: NDArray[np.int64], ious: NDArray[np.float64]) -> Violations:
    columns = {"iou": ious.round(4), "with_box": table["box_id"], "with_category_id": table["category_id"]}
    for name, column in columns.items():
        table = table.append_column(name, pa.array(column) if name == "iou" else take_or_null(column, others))
    return violations_where(table, pa.array(others >= 0), *columns, "category_id", *XYWH)
