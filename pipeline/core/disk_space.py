"""Disk space that a stage needs, logged and checked before it starts."""

import logging
import shutil
from pathlib import Path

from pipeline.core.errors import BoxlineError

logger = logging.getLogger(__name__)

MIN_LOGGED_BYTES = 10**9
"""Less is not worth a line."""


def require_disk_space(folder: Path, needed_bytes: int, advice: str) -> None:
    """Log how much a stage is going to write and how much is free, and stop it if that cannot fit.

    DVC copies each output to its cache afterwards, unless the file system shares the blocks of copies (reflinks). The
    message names the copy, but the check does not count it.

    Args:
        folder: an existing folder on the disk.
        needed_bytes: size of what the stage writes.
        advice: the sentence that ends the error message.

    Raises:
        BoxlineError: if less is free than the stage itself needs.

    """
    free_bytes = shutil.disk_usage(folder).free
    needed, free = f"{needed_bytes:,} more bytes are needed", f"{free_bytes:,} bytes are free on the disk"
    if needed_bytes > free_bytes:
        raise BoxlineError(f"{folder}: {needed}, but only {free}. {advice}")
    if needed_bytes >= MIN_LOGGED_BYTES:
        logger.info("%s: %s, and as many for the copy in DVC's cache, unless it has reflinks; %s", folder, needed, free)
        if 2 * needed_bytes > free_bytes:
            logger.warning("%s: the copy in DVC's cache will not fit. See docs/operations.md, Disk space.", folder)
