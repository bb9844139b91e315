"""Exit codes of stages and commands, and the context manager that ends a process with them.

This module imports nothing heavy, since flows import it to classify failures.
"""

import contextlib
import errno
import logging
import os
import sys
import traceback
from collections.abc import Iterator
from typing import NoReturn

from pipeline.core.errors import BoxlineError

logger = logging.getLogger(__name__)

INPUT_ERROR = 1
"""Parameters, data or machine settings that the user can correct; also of `BoxlineError`."""
USAGE_ERROR = 2
"""Arguments that a command or stage does not have; argparse uses the same code."""
OUT_OF_MEMORY = 12
DISK_FULL = 28
INTERNAL_ERROR = 70
"""A bug; a traceback was printed. EX_SOFTWARE of sysexits.h."""
NETWORK_ERROR = 75
"""A server or network that may recover later; also of `NetworkError`. EX_TEMPFAIL of sysexits.h."""
INTERRUPTED = 130
"""Ctrl-C, as shells report it."""

MEMORY_ERRORS = {"MemoryError", "ArrowMemoryError", "ResourceExhaustedError", "OutOfMemoryError"}
"""By name, since each framework has its own and none is imported here."""

DISK_FULL_ERRNOS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
SYSTEM_ERRNOS = {
    *DISK_FULL_ERRNOS,
    *(errno.EACCES, errno.EPERM, errno.EROFS),
    *(errno.EIO, errno.EMFILE, errno.ENFILE, errno.ESTALE),
}
"""The disk is full or broken, or access is denied: a traceback would explain nothing."""


@contextlib.contextmanager
def handle_errors() -> Iterator[None]:
    """End the process on an exception: one line on stderr, and the exit code of that kind of failure.

    Bugs and lack of memory keep their traceback. A closed pipe, as after `| head`, ends with INPUT_ERROR and prints
    nothing.
    """
    try:
        yield
    except BoxlineError as error:
        logger.error("Error: %s", error)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # Python flushes stdout once more at exit; redirected to /dev/null, that flush cannot raise this error again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(INPUT_ERROR)
    except OSError as error:
        if error.errno not in SYSTEM_ERRNOS:
            _exit_with_traceback(error)
        message = "Error: %s: %s. Free space, grant access or repair the disk, then run it again."
        logger.error(message, error.filename or "disk", error.strerror)
        sys.exit(DISK_FULL if error.errno in DISK_FULL_ERRNOS else INPUT_ERROR)
    except KeyboardInterrupt:
        logger.error("Interrupted. No output is half-written; run the same command again to restart or resume.")
        sys.exit(INTERRUPTED)
    except Exception as error:  # a bug or a lack of memory: both end with a traceback
        _exit_with_traceback(error)


def _exit_with_traceback(error: Exception) -> NoReturn:
    traceback.print_exc()
    class_names = {base.__name__ for base in type(error).__mro__}
    if class_names & MEMORY_ERRORS or "RESOURCE_EXHAUSTED" in str(error):
        logger.error("Error: out of memory. Reduce batch_size, image_size or shard_images in params.yaml.")
        sys.exit(OUT_OF_MEMORY)
    sys.exit(INTERNAL_ERROR)
