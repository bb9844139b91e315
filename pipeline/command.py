"""How stages and other verbs run as commands: arguments, log lines, exit code."""

import argparse
import contextlib
import errno
import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from pipeline.errors import BoxlineError

logger = logging.getLogger(__name__)

MACHINE_FAULTS = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
    *(errno.EACCES, errno.EPERM, errno.EROFS),
    *(errno.EIO, errno.EMFILE, errno.ENFILE, errno.ESTALE),
}
"""The disk is full or fails, or the files belong to somebody else: nothing that a traceback would explain."""


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """A BoxlineError and a full disk become one line on stderr and exit code 1, Ctrl-C becomes exit code 130.

    Where nobody reads on what is printed, as after `| head`, the exit code is 1 and nothing is said. Other exceptions
    are bugs and keep their traceback.
    """
    try:
        yield
    except BoxlineError as error:
        logger.error("Error: %s", error)
        sys.exit(1)
    except BrokenPipeError:
        # Python flushes stdout once more when it ends; what is left goes nowhere, instead of raising this again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if error.errno not in MACHINE_FAULTS:
            raise
        message = "Error: %s: %s. Make room, grant access or mend the disk, then run it again."
        logger.error(message, error.filename or "disk", error.strerror)
        sys.exit(1)
    except KeyboardInterrupt:
        logger.error(
            "Interrupted. No output was left half-written; the same command starts again, or goes on where it can."
        )
        sys.exit(130)


def require_file_place(path: Path, word: str) -> None:
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

    dvc.yaml passes every path; no stage writes one down. A user's mistake becomes one line, see `one_line_errors`.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    parser = argparse.ArgumentParser(description=stage.__doc__)
    parser.add_argument(subject, help=f"key in params.yaml, under {subject}s")
    for path in paths:
        parser.add_argument(f"--{path.replace('_', '-')}", type=Path, required=True)
    with one_line_errors():
        stage(**vars(parser.parse_args()))
