"""boxline trace: from a file of metrics back to the run that made it."""

import argparse
import sys
from pathlib import Path

from pipeline.core.dvc_project import open_project
from pipeline.core.errors import BoxlineError
from pipeline.download.checksums import Checksums
from pipeline.lineage.trace import find_provenance, format_provenance

HELP = "find the run that made a file of metrics"
DESCRIPTION = (
    "Find the recorded run that made a file, by its content, whatever its name and place: the branch `runs`, else the "
    "workspace's dvc.lock. Printed are the run, the stage with its parameters, everything that it was made of back to "
    "the sources, and the commands that bring it back or build it again."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The words that `trace` takes."""
    parser.add_argument("file", metavar="METRICS-FILE", type=Path, help="a file that a stage made, or a copy of it")


def trace(file: Path) -> int:
    """Print what is known of the file; return the exit code."""
    if not file.is_file():
        raise BoxlineError(f"There is no file {file}. Expected one that a run made, such as reports/NAME/metrics.json.")
    md5 = Checksums.of_file(file).hexdigest("md5")
    with open_project() as repo:
        provenance = find_provenance(md5, str(file))
        sys.stdout.write("\n".join([f"{file} (MD5 {md5})", *format_provenance(provenance, md5, repo)]) + "\n")
    return 0
