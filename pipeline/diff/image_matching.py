"""Matching of the images of two versions, independent of their ids."""

from dataclasses import replace

import pyarrow as pa

from pipeline.diff.row_matching import Changes, Matching


def compare_images(before: pa.Table, after: pa.Table) -> Changes:
    """Match the rows of two tables of images.

    Images are identified by their pixels. The passes match equal SHA-256, split and file name; then equal SHA-256, in
    the same split first; then equal split and file name; then equal file name.

    Args:
        before: schema.IMAGES and a column sha256, null if it is unknown.
        after: the same.

    Returns:
        Changes of the kinds added, removed, pixels (another file), size (width or height), split, and renamed.

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
    changes = matching.result()
    width, height, pixels, split, renamed = (
        changes.differing(before[name], after[name]) for name in ("width", "height", "sha256", "split", "file_name")
    )
    return replace(
        changes,
        kinds={**changes.kinds, "pixels": pixels, "size": width | height, "split": split, "renamed": renamed},
    )
