"""boxline trace: from a file of metrics back to the run that produced it."""

import sys
from pathlib import Path

from pipeline.core.dvc_project import open_project
from pipeline.core.errors import BoxlineError
from pipeline.download.checksums import Checksums
from pipeline.lineage.trace import find_provenance, format_provenance


def trace(file: Path, /) -> int:
    """Find the run that produced a file, by the file's content, under any name and in any place.

    The branch `runs` is searched first, then the dvc.lock of the workspace. Prints the run, the stage with its
    parameters, all inputs back to the sources, and the commands that restore or rebuild the file.

    Args:
        file: a file that a stage wrote, such as reports/NAME/metrics.json, or a copy of it.

    """
    if not file.is_file():
        raise BoxlineError(
            f"There is no file {file}. Expected one that a run produced, such as reports/NAME/metrics.json."
        )
    md5 = Checksums.of_file(file).hexdigest("md5")
    with open_project() as repo:
        provenance = find_provenance(md5, str(file))
        sys.stdout.write("\n".join([f"{file} (MD5 {md5})", *format_provenance(provenance, md5, repo)]) + "\n")
    return 0
