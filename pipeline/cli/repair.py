"""boxline repair: objects that are missing or corrupt in the remote, restored."""

import sys

from pipeline.cli.verify import verify
from pipeline.remote.repair import Repair


def repair(*, remote: str | None = None) -> int:
    """Restore objects that are missing or corrupt in the remote.

    Sources are the cache, the workspace, and the stage that produced the object, which is run again. Objects are
    uploaded only after their hash was verified. The exit code is 1 if an object could not be restored unchanged.

    Args:
        remote: one of `dvc remote list`; the default remote if omitted.

    """
    is_restored = Repair(remote, _print).run()
    is_complete = verify(remote=remote) == 0
    return 0 if is_restored and is_complete else 1


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()  # before the next stage runs, which may take long
