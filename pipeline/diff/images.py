"""Which images of two versions are the same, whatever their ids."""

from dataclasses import replace

import pyarrow as pa

from pipeline.diff.matching import Changes, Matching


def compare_images(before: pa.Table, after: pa.Table) -> Changes:
    """Match the rows of two tables of schema.IMAGES with one more column, sha256, null where a digest is not known.

    An image is what its pixels are: after those that kept split, file name and digest, rows of one digest belong
    together, in the same split first; then those of one split and file name, and at last those of one file name.
    Kinds: came, went, pixels (the file is another one), size (in pixels), split and renamed.
    """
    matching = Matching(before.num_rows, after.num_rows)
    for names in (
        ["sha256", "split", "file_name"],
        ["sha256", "split"],
        ["sha256"],
        ["split", "file_name"],
        ["file_name"],
    ):
        matching.pair_equal(before.select(names).columns, after.select(names).columns)
    matched = matching.result()
    width, height, *others = (
        matched.differing(before[name], after[name]) for name in ("width", "height", "sha256", "split", "file_name")
    )
    pixels, split, renamed = others
    return replace(
        matched,
        kinds={**matched.kinds, "pixels": pixels, "size": width | height, "split": split, "renamed": renamed},
    )
