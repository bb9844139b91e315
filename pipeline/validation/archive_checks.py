"""The checks of archives."""

import pyarrow as pa

from pipeline.core.formatting import pluralize
from pipeline.validation.base import ArchiveCheck, Findings


class ArchiveFileUnused(ArchiveCheck):
    """A file of an archive that no row names. Annotations and folders do not count."""

    def measure(self, archives: pa.Table) -> tuple[int, Findings]:
        rows = archives.to_pylist()
        violations = [
            f"{row['archive']}: {row['unused']:,} of {pluralize(row['files'], 'file', 'files')}, "
            f"first: {row['first_unused']}"
            for row in rows
            if row["unused"]
        ]
        measured = ", ".join(f"{pluralize(row['files'], 'file', 'files')} in {row['archive']}" for row in rows)
        return sum(row["unused"] for row in rows), Findings(measured or "no archives", violations)
