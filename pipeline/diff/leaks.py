"""New leaks: images that are in two splits now, equal or almost equal, and were not before."""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from pipeline.core import schema
from pipeline.core.parquet import FILES
from pipeline.datasets.annotations import image_rows_of, take_or_null
from pipeline.diff.difference import Difference, Snapshot
from pipeline.diff.revisions import DatasetVersion
from pipeline.validation.image_checks import ImageSimilarAcrossSplits

THUMBNAIL_COLUMNS = pa.schema([schema.FILES.field(name) for name in ("image_id", "split", "thumbnail")])


@dataclass(frozen=True)
class NewLeak:
    """An image of one split that another split has too.

    Attributes:
        locations: splits and file names of both.
        similarity: of both, see `validation.similarity`; 1 for equal files.

    """

    locations: list[tuple[str, str]]
    similarity: float


def find_new_leaks(
    difference: Difference, after: DatasetVersion, dataset: str, check: ImageSimilarAcrossSplits
) -> list[NewLeak]:
    """Find the leaks that the first version did not have, equal files first.

    Args:
        difference: the two versions.
        after: the second version, which has the thumbnails of its images.
        dataset: name of the dataset in the second version.
        check: what counts as almost equal; nothing if its severity is "off".

    """
    equal = [NewLeak(leak.locations, 1.0) for leak in difference.leaks if leak.is_new]
    files = after.table(dataset, FILES, THUMBNAIL_COLUMNS)
    if check.severity == "off" or files is None:
        return equal
    return equal + sorted(_similar(difference, files, check), key=lambda leak: -leak.similarity)


def _similar(difference: Difference, files: pa.Table, check: ImageSimilarAcrossSplits) -> Iterator[NewLeak]:
    images = difference.after.images
    thumbnails = take_or_null(files["thumbnail"], image_rows_of(images, files))
    violations = check.find_violations(images.append_column("thumbnail", thumbnails))
    values = violations.values
    others = pa.table({"image_id": values["similar_to_id"], "split": values["similar_to_split"]})
    other_rows = image_rows_of(others, images)
    known = _splits_by_digest(difference.before)
    names, splits, digests = (images[name].to_pylist() for name in ("file_name", "split", "sha256"))
    for row, other, similarity in zip(
        violations.rows.tolist(), other_rows.tolist(), values["similarity"].to_pylist(), strict=True
    ):
        before = known.get(digests[row], set()), known.get(digests[other], set())
        was_leaking = any(one != another for one in before[0] for another in before[1])
        if not was_leaking:
            yield NewLeak([(splits[row], names[row]), (splits[other], names[other])], similarity)


def _splits_by_digest(snapshot: Snapshot) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for digest, split in zip(snapshot.images["sha256"].to_pylist(), snapshot.images["split"].to_pylist(), strict=True):
        if digest is not None:
            found.setdefault(digest, set()).add(split)
    return found
