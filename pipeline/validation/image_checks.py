"""The checks of images."""

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
from pipeline.validation.base import Faults, ImageCheck, marked
from pipeline.validation.joins import repeated, split_names
from pipeline.validation.similarity import edges, most_similar, thumbnails_of

SIMILAR = ("split", "similar_to", "similar_to_id", "similar_to_split", "similarity")


class ImageIdBelowOne(ImageCheck):
    """An id of 0 or less; COCO tools take 0 for "nothing".

    An error always: packed images lie in ranges of ids.
    """

    severity: Literal["error"]

    def faults(self, table: pa.Table) -> Faults:
        """Ids below 1."""
        return marked(table, pc.less(table["image_id"], 1), "image_id")


class ImageIdDuplicated(ImageCheck):
    """An id that several rows have, in any splits: which of them is right, nobody can tell, so all go.

    An error always: it is the key that boxes, files and packed images are joined by.
    """

    severity: Literal["error"]

    def faults(self, table: pa.Table) -> Faults:
        """All rows whose id occurs more than once."""
        return marked(table, repeated(table["image_id"]), "image_id", "split")


class ImageFileMissing(ImageCheck):
    """No file of that name in the archive, or one that cannot be read from it.

    An error always: there is nothing to pack.
    """

    severity: Literal["error"]

    def faults(self, table: pa.Table) -> Faults:
        """Images without a file."""
        return marked(table, pc.is_null(table["sha256"]), "archive", "member", "problem")


class ImageNotDecodable(ImageCheck):
    """A file that is no image, a damaged one, or one of more pixels than is safe to decode.

    An error always: there is nothing to pack.
    """

    severity: Literal["error"]

    def faults(self, table: pa.Table) -> Faults:
        """Images whose file has a problem."""
        return marked(table, pc.and_(pc.is_valid(table["sha256"]), pc.is_valid(table["problem"])), "problem")


class ImageSizeNotPositive(ImageCheck):
    """A stated width or height of 0 or less.

    An error always: every box is placed by it.
    """

    severity: Literal["error"]

    def faults(self, table: pa.Table) -> Faults:
        """Images without a size."""
        return marked(table, pc.less(pc.min_element_wise(table["width"], table["height"]), 1), "width", "height")


class ImageSizeDiffers(ImageCheck):
    """Another size than the file's, in pixels as stored, before a viewer turns them."""

    def faults(self, table: pa.Table) -> Faults:
        """Images whose stated size is not the file's."""
        differs = [pc.not_equal(table[name], table[f"file_{name}"]) for name in ("width", "height")]
        return marked(table, pc.or_(*differs), "width", "height", "file_width", "file_height", "orientation")


class ImageExifRotated(ImageCheck):
    """An EXIF orientation tag: viewers turn or mirror the image, while its boxes refer to the pixels as stored."""

    def faults(self, table: pa.Table) -> Faults:
        """Images with a tag other than 1, upright."""
        return marked(table, pc.not_equal(table["orientation"], 1), "orientation")


class ImageTiny(ImageCheck):
    """A side of fewer than min_side_pixels."""

    min_side_pixels: PositiveInt

    def faults(self, table: pa.Table) -> Faults:
        """Images below that size."""
        shorter = pc.min_element_wise(table["width"], table["height"])
        return marked(table, pc.less(shorter, self.min_side_pixels), "width", "height")


class ImageDuplicatedWithinSplit(ImageCheck):
    """The same bytes as an image before it in its split. The first one is none; the later ones are."""

    def faults(self, table: pa.Table) -> Faults:
        """Images whose file an earlier row of the split has too."""
        keys = pc.binary_join_element_wise(table["split"], table["sha256"], " ").combine_chunks()
        first = pc.index_in(keys, value_set=keys, skip_nulls=True)
        table = table.append_column("same_as", table["file_name"].take(first))
        return marked(table, pc.not_equal(first, pa.array(np.arange(len(keys)))), "same_as")


class ImageDuplicatedAcrossSplits(ImageCheck):
    """The same bytes as an image of a later split, in the order train, val, test: what is scored was trained on.

    The earlier split's image is the fault: the held-out images stay those that everybody scores.
    """

    def faults(self, table: pa.Table) -> Faults:
        """Images whose file a later split has too."""
        twins = pa.nulls(table.num_rows, pa.int32())
        for earlier, later in split_pairs(table):
            rows = np.flatnonzero(later)
            found = pc.index_in(table["sha256"], value_set=table["sha256"].take(rows).combine_chunks(), skip_nulls=True)
            twins = pc.if_else(pa.array(earlier), pa.array(rows, pa.int32()).take(found.combine_chunks()), twins)
        table = table.append_column("same_as", table["file_name"].take(twins))
        table = table.append_column("same_as_split", table["split"].take(twins))
        return marked(table, pc.is_valid(twins), "split", "same_as", "same_as_split")


class ImageSimilarAcrossSplits(ImageCheck):
    """Nearly an image of a later split, in another size, compression or brightness.

    Similarity is explained in `similarity`. Each image is compared with all of the later splits and reported with the
    most similar one, if that has at least min_similarity. An image whose neighbouring thumbnail pixels differ
    by less than min_contrast grey levels is too plain to compare. Identical files are left to
    image_duplicated_across_splits.
    """

    min_similarity: Annotated[float, Field(gt=0, lt=1)]
    min_contrast: NonNegativeFloat

    def faults(self, table: pa.Table) -> Faults:
        """Images that look like one of a later split."""
        vectors, contrasts = edges(thumbnails_of(table["thumbnail"]))
        plain = contrasts < self.min_contrast
        vectors[plain] = 0  # similar to nothing
        twins, similarities = np.full(len(vectors), -1), np.zeros(len(vectors), np.float32)
        for earlier, later in split_pairs(table):
            rows, others = np.flatnonzero(earlier), np.flatnonzero(later)
            best, similarities[rows] = most_similar(vectors[rows], vectors[others], self.min_similarity)
            twins[rows] = np.where(best < 0, -1, others[best])
        twin_rows = pa.array(twins, mask=twins < 0)
        table = (
            table.append_column("similar_to", table["file_name"].take(twin_rows))
            .append_column("similar_to_id", table["image_id"].take(twin_rows))
            .append_column("similar_to_split", table["split"].take(twin_rows))
            .append_column("similarity", pa.array(similarities.astype(np.float64).round(4)))
        )
        another_file = pc.not_equal(table["sha256"], table["sha256"].take(twin_rows))
        faults = marked(table, another_file, *SIMILAR)
        too_plain = pluralize(int(plain.sum()), "image is", "images are")
        return replace(faults, note=f"{too_plain} too plain to compare" if plain.any() else "")


def split_pairs(table: pa.Table) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Which rows are of one split and which of the splits after it, for each but the last."""
    names = split_names(table)
    order = pc.index_in(table["split"], value_set=pa.array(names, pa.string())).to_numpy()
    for number in range(len(names) - 1):
        yield order == number, order > number
