"""The checks of single images."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from pipeline.core.config import NonNegativeFloat, PositiveInt
from pipeline.core.formatting import pluralize
from pipeline.validation.base import ImageCheck, Violations, duplicates_of_id, violations_where
from pipeline.validation.joins import split_names
from pipeline.validation.similarity import edge_vectors, most_similar, thumbnails_of

SIMILARITY_COLUMNS = ("split", "similar_to", "similar_to_id", "similar_to_split", "similarity")


class ImageIdBelowOne(ImageCheck):
    """An id of 0 or less; COCO tools treat 0 as "nothing".

    Always an error, because packed images are stored by ranges of ids.
    """

    severity: Literal["error"]

    def find_violations(self, table: pa.Table) -> Violations:
        return violations_where(table, pc.less(table["image_id"], 1), "image_id")


class ImageIdDuplicated(ImageCheck):
    """An id that several images of a split have. All of them violate the check, because the correct one is unknown.

    Always an error, because boxes, files and packed images are joined by this key.
    """

    severity: Literal["error"]

    def find_violations(self, table: pa.Table) -> Violations:
        return duplicates_of_id(table, "image_id")


class ImageFileMissing(ImageCheck):
    """No file of that name in the archive, or one that cannot be read from it.

    Always an error, because there is nothing to pack.
    """

    severity: Literal["error"]

    def find_violations(self, table: pa.Table) -> Violations:
        return violations_where(table, pc.is_null(table["sha256"]), "archive", "member", "problem")


class ImageNotDecodable(ImageCheck):
    """A file that is not an image, is corrupt, or has more pixels than are safe to decode.

    Always an error, because there is nothing to pack.
    """

    severity: Literal["error"]

    def find_violations(self, table: pa.Table) -> Violations:
        return violations_where(table, pc.and_(pc.is_valid(table["sha256"]), pc.is_valid(table["problem"])), "problem")


class ImageSizeNotPositive(ImageCheck):
    """A stated width or height of 0 or less.

    Always an error, because every box is scaled by it.
    """

    severity: Literal["error"]

    def find_violations(self, table: pa.Table) -> Violations:
        shorter = pc.min_element_wise(table["width"], table["height"])
        return violations_where(table, pc.less(shorter, 1), "width", "height")


class ImageSizeDiffers(ImageCheck):
    """A stated size that differs from the size of the file, in pixels as stored, before any rotation by a viewer."""

    def find_violations(self, table: pa.Table) -> Violations:
        differs = [pc.not_equal(table[name], table[f"file_{name}"]) for name in ("width", "height")]
        return violations_where(table, pc.or_(*differs), "width", "height", "file_width", "file_height", "orientation")


class ImageExifRotated(ImageCheck):
    """An EXIF orientation tag. Viewers rotate or mirror the image, but its boxes refer to the pixels as stored."""

    def find_violations(self, table: pa.Table) -> Violations:
        upright = 1
        return violations_where(table, pc.not_equal(table["orientation"], upright), "orientation")


class ImageTiny(ImageCheck):
    """A side of fewer than min_side_pixels."""

    min_side_pixels: PositiveInt

    def find_violations(self, table: pa.Table) -> Violations:
        shorter = pc.min_element_wise(table["width"], table["height"])
        return violations_where(table, pc.less(shorter, self.min_side_pixels), "width", "height")


class ImageDuplicatedWithinSplit(ImageCheck):
    """The same bytes as an earlier image of its split. The first image passes; the later ones do not."""

    def find_violations(self, table: pa.Table) -> Violations:
        keys = pc.binary_join_element_wise(table["split"], table["sha256"], " ").combine_chunks()
        first = pc.index_in(keys, value_set=keys, skip_nulls=True)
        table = table.append_column("same_as", table["file_name"].take(first))
        return violations_where(table, pc.not_equal(first, pa.array(np.arange(len(keys)))), "same_as")


class ImageDuplicatedAcrossSplits(ImageCheck):
    """The same bytes as an image of a later split, in the order train, val, test.

    A model would be evaluated on an image that it was trained on. The image of the earlier split violates the check, so
    that the held-out images remain those of published scores.
    """

    def find_violations(self, table: pa.Table) -> Violations:
        duplicate_rows = pa.nulls(table.num_rows, pa.int32())
        for earlier, later in split_pairs(table):
            rows = np.flatnonzero(later)
            later_files = table["sha256"].take(rows).combine_chunks()
            matches = pc.index_in(table["sha256"], value_set=later_files, skip_nulls=True)
            matched_rows = pa.array(rows, pa.int32()).take(matches.combine_chunks())
            duplicate_rows = pc.if_else(pa.array(earlier), matched_rows, duplicate_rows)
        table = table.append_column("same_as", table["file_name"].take(duplicate_rows))
        table = table.append_column("same_as_split", table["split"].take(duplicate_rows))
        return violations_where(table, pc.is_valid(duplicate_rows), "split", "same_as", "same_as_split")


class ImageSimilarAcrossSplits(ImageCheck):
    """Almost identical to an image of a later split, apart from size, compression or brightness.

    The module `similarity` defines similarity. Each image is compared with all images of the later splits, and reported
    with the most similar one if their similarity is at least min_similarity. An image whose thumbnail has less than
    min_contrast gray levels between neighboring pixels is too plain to compare. Identical files are the subject of
    image_duplicated_across_splits.
    """

    min_similarity: Annotated[float, Field(gt=0, lt=1)]
    min_contrast: NonNegativeFloat

    def find_violations(self, table: pa.Table) -> Violations:
        vectors, contrasts = edge_vectors(thumbnails_of(table["thumbnail"]))
        plain = contrasts < self.min_contrast
        vectors[plain] = 0  # a similarity of 0 with every image
        match_rows, similarities = np.full(len(vectors), -1), np.zeros(len(vectors), np.float32)
        for earlier, later in split_pairs(table):
            rows, others = np.flatnonzero(earlier), np.flatnonzero(later)
            best, similarities[rows] = most_similar(vectors[rows], vectors[others], self.min_similarity)
            match_rows[rows] = np.where(best < 0, -1, others[best])
        match_column = pa.array(match_rows, mask=match_rows < 0)
        table = (
            table.append_column("similar_to", table["file_name"].take(match_column))
            .append_column("similar_to_id", table["image_id"].take(match_column))
            .append_column("similar_to_split", table["split"].take(match_column))
            .append_column("similarity", pa.array(similarities.astype(np.float64).round(4)))
        )
        another_file = pc.not_equal(table["sha256"], table["sha256"].take(match_column))
        violations = violations_where(table, another_file, *SIMILARITY_COLUMNS)
        too_plain = pluralize(int(plain.sum()), "image is", "images are")
        return replace(violations, note=f"{too_plain} too plain to compare" if plain.any() else "")


def split_pairs(table: pa.Table) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """For each split but the last: which rows belong to it, and which to any later split; bool [rows] each."""
    names = split_names(table)
    order = pc.index_in(table["split"], value_set=pa.array(names, pa.string())).to_numpy()
    for index in range(len(names) - 1):
        yield order == index, order > index
