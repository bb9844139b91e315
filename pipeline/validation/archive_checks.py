"""The checks of archives."""

import pyarrow as pa

from pipeline.core.formatting import pluralize
from pipeline.validation.base import ArchiveCheck, Findings


class ArchiveFileUnused(ArchiveCheck):
    """An image file of an archive that no row names. Other files do not count."""

    def measure(self, archives: pa.Table) -> tuple[int, Findings]:
        rows = archives.to_pylist()
        counts = [pluralize(row["files"], "image file", "image files") for row in rows]
        violations = [
            f"{row['archive']}: {row['unused']:,} of {count}, first: {row['first_unused']}"
            for row, count in zip(rows, counts, strict=True)
            if row["unused"]
        ]
        measured = ", ".join(f"{count} in {row['archive']}" for row, count in zip(rows, counts, strict=True))
        return sum(row["unused"] for row in rows), Findings(measured or "no archives", violations)
