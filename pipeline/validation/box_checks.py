"""The checks of boxes."""

from functools import reduce
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.config import Fraction, NonNegativeFloat
from pipeline.validation.base import BoxCheck, Faults, marked
from pipeline.validation.joins import first_equal, repeated

XYWH = ("x", "y", "width", "height")


class ImageQuarantined(BoxCheck):
    """The box of a refused image, which goes with it.

    No check that params.yaml could switch: what belongs to nothing cannot stay.
    """

    def faults(self, table: pa.Table) -> Faults:
        """Boxes of refused images."""
        return marked(table, table["image_refused"], "image_id")


class BoxIdBelowOne(BoxCheck):
    """An id of 0 or less; COCO tools take 0 for "no match"."""

    def faults(self, table: pa.Table) -> Faults:
        """Ids below 1."""
        return marked(table, pc.less(table["box_id"], 1), "box_id")


class BoxIdDuplicated(BoxCheck):
    """An id that several rows have: which of them is right, nobody can tell, so all go. An error always, as a key."""

    severity: Literal["error"]

    def faults(self, table: pa.Table) -> Faults:
        """All rows whose id occurs more than once."""
        return marked(table, repeated(table["box_id"]), "box_id")


class ImageUnknown(BoxCheck):
    """An image_id that no image has. An error always: nothing later knows what to do with such a box."""

    severity: Literal["error"]

    def faults(self, table: pa.Table) -> Faults:
        """Boxes without an image."""
        return marked(table, pc.is_null(table["file_name"]), "image_id")


class CategoryUnknown(BoxCheck):
    """A category_id that no category has. An error always: nothing later knows what to do with such a box."""

    severity: Literal["error"]

    def faults(self, table: pa.Table) -> Faults:
        """Boxes without a category."""
        return marked(table, pc.is_null(table["class_index"]), "category_id")


class BoxNotFinite(BoxCheck):
    """A coordinate, size or area that is NaN or infinite."""

    def faults(self, table: pa.Table) -> Faults:
        """Boxes with a number that is none."""
        finite = reduce(pc.and_, [pc.is_finite(table[name]) for name in (*XYWH, "area")])
        return marked(table, pc.invert(finite), *XYWH, "area")


class BoxSizeNotPositive(BoxCheck):
    """A width or height of 0 or less."""

    def faults(self, table: pa.Table) -> Faults:
        """Boxes without a size."""
        return marked(table, pc.less_equal(pc.min_element_wise(table["width"], table["height"]), 0), "width", "height")


class BoxOutsideImage(BoxCheck):
    """Past an edge of its image by more than tolerance_pixels: published boxes are rounded."""

    tolerance_pixels: NonNegativeFloat

    def faults(self, table: pa.Table) -> Faults:
        """Boxes that reach too far."""
        past = pc.less(pc.min_element_wise(table["x"], table["y"]), -self.tolerance_pixels)
        for start, extent in (("x", "width"), ("y", "height")):
            limit = pc.add(table[f"image_{extent}"].cast(pa.float64()), self.tolerance_pixels)
            past = pc.or_kleene(past, pc.greater(pc.add(table[start], table[extent]), limit))
        return marked(table, past, *XYWH, "image_width", "image_height")


class BoxAreaNotPositive(BoxCheck):
    """An area of 0 or less, while the box has a size: the outline is lost."""

    def faults(self, table: pa.Table) -> Faults:
        """Boxes without an area."""
        return marked(table, pc.less_equal(table["area"], 0), "area", "width", "height")


class BoxAreaExceedsBox(BoxCheck):
    """An area above width x height by more than tolerance_fraction of it.

    The area is the outline's, which lies in the box; that of a crowd is the area of all its objects, which do too.
    """

    tolerance_fraction: Fraction

    def faults(self, table: pa.Table) -> Faults:
        """Boxes smaller than what is in them."""
        box_area = pc.multiply(table["width"], table["height"])
        too_large = pc.greater(table["area"], pc.multiply(box_area, 1 + self.tolerance_fraction))
        return marked(table, too_large, "area", "width", "height", "is_crowd")


class BoxDuplicated(BoxCheck):
    """The same image, category and numbers as a box before it. The first one is none; the later ones are."""

    def faults(self, table: pa.Table) -> Faults:
        """Boxes that an earlier row has drawn already."""
        first = first_equal(table, ["image_id", "category_id", *XYWH])
        table = table.append_column("same_as_box", table["box_id"].take(pa.array(first)))
        return marked(table, pa.array(first != np.arange(len(first))), "same_as_box", "category_id", *XYWH)
