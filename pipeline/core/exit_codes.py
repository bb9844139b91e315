"""How stages and other verbs run as commands: arguments, log lines, exit code."""

import argparse
import contextlib
import errno
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

from pipeline.core.errors import BoxlineError

logger = logging.getLogger(__name__)

BUG = 70
OUT_OF_MEMORY = 12
DISK_FULL = 28
"""Exit codes beside those of `errors`; flows/failures.py tells kinds of failures by them."""

MEMORY_ERRORS = {"MemoryError", "ArrowMemoryError", "ResourceExhaustedError", "OutOfMemoryError"}
"""By name, since each framework has its own and none is imported here."""

FULL_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
MACHINE_FAULTS = {
    *FULL_DISK,
    *(errno.EACCES, errno.EPERM, errno.EROFS),
    *(errno.EIO, errno.EMFILE, errno.ENFILE, errno.ESTALE),
}
"""The disk is full or fails, or the files belong to somebody else: nothing that a traceback would explain."""


@contextlib.contextmanager
def handle_errors() -> Iterator[None]:
    """What a user can put right becomes one line on stderr, and an exit code that tells its kind; Ctrl-C becomes 130.

    Where nobody reads on what is printed, as after `| head`, the exit code is 1 and nothing is said. Other exceptions
    are bugs, which keep their traceback, or a lack of memory.
    """
    try:
        yield
    except BoxlineError as error:
        logger.error("Error: %s", error)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # Python flushes stdout once more when it ends; what is left goes nowhere, instead of raising this again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if error.errno not in MACHINE_FAULTS:
            _end_with_traceback(error)
        message = "Error: %s: %s. Make room, grant access or mend the disk, then run it again."
        logger.error(message, error.filename or "disk", error.strerror)
        sys.exit(DISK_FULL if error.errno in FULL_DISK else 1)
    except KeyboardInterrupt:
        logger.error(
            "Interrupted. No output was left half-written; the same command starts again, or goes on where it can."
        )
        sys.exit(130)
    except Exception as error:  # a bug, or no memory: both with their traceback
        _end_with_traceback(error)


def _end_with_traceback(error: Exception) -> NoReturn:
    traceback.print_exc()
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if kinds & MEMORY_ERRORS or "RESOURCE_EXHAUSTED" in str(error):
        logger.error("Error: out of memory. A smaller batch_size, image_size or shard_images needs less.")
        sys.exit(OUT_OF_MEMORY)
    sys.exit(BUG)


def require_writable_path(path: Path, word: str) -> None:
    """Raise BoxlineError where no file can come to be at `path`, which messages call `word`.

    Folders that are not there yet are no fault: whoever writes the file makes them.
    """
    if path.is_dir():
        raise BoxlineError(f"{word} is {path}, a folder; expected a file. Name one in it: {path / 'NAME'}")
    for folder in path.parents:
        if folder.exists() and not folder.is_dir():
            raise BoxlineError(f"{word} is {path}, but {folder} is no folder. Name a file in a folder.")


def run_stage(stage: Callable[..., None], subject: str, paths: list[str]) -> None:
    """Call `stage(subject, **paths)` with the command line's words: the subject first, then one --option per path.

    dvc.yaml passes every path; no stage writes one down. A user's mistake becomes one line, see `handle_errors`.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    parser = argparse.ArgumentParser(description=stage.__doc__)
    parser.add_argument(subject, help=f"key in params.yaml, under {subject}s")
    for path in paths:
        parser.add_argument(f"--{path.replace('_', '-')}", type=Path, required=True)
    with handle_errors():
        stage(**vars(parser.parse_args()))
