"""boxline repair: bring back what the remote has lost."""

import sys

from pipeline.cli.verify import add_arguments as add_arguments  # the same words
from pipeline.cli.verify import verify
from pipeline.remote.repair import Repair

HELP = "bring back what the remote has lost"
DESCRIPTION = (
    "Find what is missing or damaged in the remote, as `verify` does, and mend it: from the cache, from the workspace, "
    "or by running the stage again that made it. Bytes are uploaded only after they were compared with their hash. "
    "Exit code 1 says that something could not be brought back as it was."
)


def repair(remote: str | None) -> int:
    """Say what was done to each object, verify again, and return the exit code."""
    is_as_before = Repair(remote, say).run()
    is_whole = verify(remote) == 0
    return 0 if is_as_before and is_whole else 1


def say(line: str) -> None:
    """Print it at once: a stage that is built again takes its time."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
