"""Checks of paths that commands write to."""

from pathlib import Path

from pipeline.core.errors import BoxlineError


def require_writable_path(path: Path, argument: str) -> None:
    """Check that a file can be created at `path`, so that a command fails before its work instead of after it.

    Missing folders are no fault, since the command creates them.

    Args:
        path: the file to write.
        argument: name of the argument, for the message.

    Raises:
        BoxlineError: if the path is a folder or lies below a file.

    """
    if path.is_dir():
        raise BoxlineError(f"{argument} is {path}, a folder; expected a file. Name one in it: {path / 'NAME'}")
    for folder in path.parents:
        if folder.exists() and not folder.is_dir():
            raise BoxlineError(f"{argument} is {path}, but {folder} is not a folder. Name a file in a folder.")
